r"""Proves from a pattern's syntax how far a match can reach, so that a stream need not guess.

The dialect is the part of Python's regular expressions for which that proof is sound:
no back-references, no lazy repeats, no `\b`, `^` or `$` (at the end of a text that is still
arriving they answer for a future they cannot know; look-around says the same thing exactly).
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

# The parse tree is the only honest source of a pattern's width; `sre_parse` is its old name.
from re import _constants as ops  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "LOOKS",
    "MAX_CHARS",
    "REPEATS",
    "Bounds",
    "PatternError",
    "ops",
    "parsed",
    "parser",
    "prove",
]

LOOKS: Final = (ops.ASSERT, ops.ASSERT_NOT)
REPEATS: Final = (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT)

# A rule that may match more than this holds back more than a stream should ever hold.
MAX_CHARS: Final = 16_384
# So many patterns are remembered: those of this package, and room for policies.
_PATTERNS: Final = 4096
# Farther than any text.
ENDLESS: Final = 1 << 62


class PatternError(ValueError):
    """The pattern is outside the dialect; the text says what is wrong and what to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How far a match and what it looks at can reach, in characters."""

    max_chars: int | None
    left: int
    right: int

    @property
    def reach(self) -> int:
        """How many characters from a match's beginning can matter to it."""
        return ENDLESS if self.max_chars is None else self.max_chars + self.right

    @property
    def streams(self) -> bool:
        """Whether a stream can settle this rule without holding back the whole text."""
        return self.max_chars is not None


@functools.lru_cache(maxsize=_PATTERNS)
def parsed(pattern: str) -> Any:
    """The parse tree of a pattern, for reading only; rules are asked about theirs often.

    Raises:
        re.error: if it is malformed.
    """
    return parser.parse(pattern)


@functools.lru_cache(maxsize=_PATTERNS)
def prove(pattern: str) -> Bounds:
    """Read the bounds off the pattern.

    Raises:
        PatternError: if the pattern is malformed or outside the dialect.
    """
    try:
        tree = parsed(pattern)
    except re.error as error:
        raise PatternError(f"not a regular expression: {error}") from error
    shortest, longest = tree.getwidth()
    if shortest < 1:
        raise PatternError("it can match nothing at all; require at least one character")
    for operator, _ in _nodes(tree):
        _refuse(operator)
    left, right = _looks(tree)
    return Bounds(
        max_chars=longest if longest <= MAX_CHARS else None, left=left, right=max(1, right)
    )


def _looks(tree: Any) -> tuple[int, int]:
    """How far look-around sees to the left and right; one inside another sees farther."""
    left = right = 0
    for operator, argument in tree:
        if operator in LOOKS:
            direction, body = argument
            width = body.getwidth()[1]
            if width > MAX_CHARS:
                raise PatternError("a look-around must be bounded; write {0,n} for * and +")
            inner_left, inner_right = _looks(body)
            left = max(left, inner_left + (width if direction < 0 else 0))
            right = max(right, inner_right + (width if direction > 0 else 0))
        else:
            for child in _children(argument):
                inner_left, inner_right = _looks(child)
                left, right = max(left, inner_left), max(right, inner_right)
    return left, right


def _refuse(operator: Any) -> None:
    if operator is ops.AT:
        raise PatternError(r"no \b, \B, ^, $, \A or \Z; write a look-around such as (?<!\w)")
    if operator is ops.MIN_REPEAT:
        # Before a look-behind, `regex` forgets that such a path may still go on.
        raise PatternError("no lazy repeats such as x{1,9}?; write the greedy x{1,9}")
    if operator is ops.ATOMIC_GROUP:
        raise PatternError("no atomic groups; write a possessive repeat such as x{1,9}+")
    if operator in (ops.GROUPREF, ops.GROUPREF_EXISTS):
        raise PatternError("no back-references; spell the alternatives out")


def _nodes(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every node of a parse tree, depth first."""
    for operator, argument in tree:
        yield operator, argument
        for child in _children(argument):
            yield from _nodes(child)


def _children(argument: Any) -> Iterator[Any]:
    if isinstance(argument, parser.SubPattern):
        yield argument
    elif isinstance(argument, (tuple, list)):
        for item in argument:
            yield from _children(item)
