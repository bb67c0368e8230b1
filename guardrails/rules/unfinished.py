"""Expressions for texts that end inside what could still become a match.

Widened like everything a prefilter looks for: they match at least the texts in question.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from . import widening
from .bounds import LOOKS, REPEATS, ops, prove

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["unfinished"]

_MAX_BYTES: Final = 4
# Counting farther makes an expression dear; what it is looked for in is short.
_MAX_COUNTED: Final = 255


@functools.lru_cache(maxsize=4096)
def unfinished(pattern: str) -> bytes:
    """Matches a text whose last characters begin a match, or end one that looks on."""
    nodes, fold = widening.nodes(pattern)
    begin = next((at for at, node in enumerate(nodes) if node[0] not in LOOKS), len(nodes))
    before = widening.edge(nodes[:begin][-1:], -1, fold=fold)
    looks_on = _MAX_BYTES * (prove(pattern).right - 1)
    whole = widening.sequence(nodes[begin:], fold=fold)
    most = looks_on if looks_on <= _MAX_COUNTED else ""
    more = f"|{whole}.{{0,{most}}}" if looks_on else ""
    return rf"{before}(?:{_begun(nodes, fold=fold)}{more})\z".encode()


def _begun(nodes: Iterable[tuple[Any, Any]], *, fold: bool) -> str:
    """What a sequence begins with, cut anywhere after its first character."""
    begun = ""
    for operator, argument in reversed([node for node in nodes if node[0] not in LOOKS]):
        cut = _begun_node(operator, argument, fold=fold)
        whole = widening.node(operator, argument, fold=fold)
        begun = f"(?:{cut}|{whole}{begun})" if begun else cut
    return begun


def _begun_node(operator: Any, argument: Any, *, fold: bool) -> str:
    if operator is ops.SUBPATTERN:
        return _begun(argument[3], fold=widening.folds(argument, fold=fold))
    if operator is ops.BRANCH:
        cuts = (_begun(branch, fold=fold) for branch in argument[1])
        return f"(?:{'|'.join(cut for cut in cuts if cut)})"
    if operator in REPEATS:
        _, most, body = argument
        if widening.is_one_character(body):
            return widening.repeat(1, most, body, fold=fold)
        several = widening.repeat(0, most - 1, body, fold=fold) if most > 1 else ""
        return f"{several}{_begun(body, fold=fold)}"
    return widening.node(operator, argument, fold=fold)
