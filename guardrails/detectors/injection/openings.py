"""The first letters of what a pattern matches, as plain text that is fast to look for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guardrails.rules.bounds import REPEATS, ops, parser

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["openings"]

# Some text, and whether more may follow it.
_Opening = tuple[str, bool]
_ANYTHING: Final = frozenset({("", True)})


def openings(pattern: str, letters: int) -> tuple[frozenset[str], frozenset[str]]:
    """What matches begin with, at most so many letters of it; and the matches that are shorter.

    For patterns of literals, small classes, alternatives and repeats.
    """
    found = _row(parser.parse(pattern), letters)
    begun = frozenset(text for text, more in found if more)
    short = frozenset(each for each in begun if not any(map(each.startswith, begun - {each})))
    return short, frozenset(text for text, more in found if not more) - begun


def _row(tree: Iterable[tuple[Any, Any]], letters: int) -> frozenset[_Opening]:
    found = frozenset({("", False)})
    for operator, argument in tree:
        follow = _node(operator, argument, letters)
        found = frozenset(opening for each in found for opening in _followed(each, follow, letters))
    return found


def _followed(opening: _Opening, follow: frozenset[_Opening], letters: int) -> Iterator[_Opening]:
    text, more = opening
    if more:
        yield opening
        return
    for tail, beyond in follow:
        whole = text + tail
        yield whole[:letters], beyond or len(whole) >= letters


def _node(operator: Any, argument: Any, letters: int) -> frozenset[_Opening]:
    if operator is ops.LITERAL:
        return frozenset({(chr(argument), False)})
    if operator is ops.SUBPATTERN:
        return _row(argument[3], letters)
    if operator is ops.BRANCH:
        return frozenset().union(*(_row(branch, letters) for branch in argument[1]))
    if operator in REPEATS:
        least, most, body = argument
        once = _row(body, letters)
        if most > 1:
            once = frozenset((text, True) for text, _ in once)
        return once if least else once | {("", False)}
    if operator is ops.IN and all(kind is ops.LITERAL for kind, _ in argument):
        return frozenset((chr(code), False) for _, code in argument)
    return _ANYTHING
