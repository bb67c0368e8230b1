"""Widens a pattern to an expression over UTF-8 bytes that a prefilter can look for.

The expression matches wherever the pattern does, and possibly elsewhere: look-around is dropped
(except at either end, where it is kept as text that must be there), long repeats lose their upper
bound, and in a class every character outside ASCII becomes any bytes outside ASCII.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

import regex

from .bounds import LOOKS, MAX_CHARS, REPEATS, ops, parsed, parser

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "edge",
    "folds",
    "head",
    "is_one_character",
    "least_digits",
    "needs_foreign",
    "node",
    "nodes",
    "outside",
    "repeat",
    "sequence",
    "widened",
]

_IGNORECASE: Final = 2
_MAX_COUNTED: Final = 64
_MAX_COUNTED_GROUP: Final = 12
_DIGITS: Final = frozenset(range(ord("0"), ord("9") + 1))
# Letters outside ASCII that an ASCII letter equals when case is ignored, as `regex` sees it.
_FOREIGN_CASE: Final = {"s": "\u017f", "k": "\u212a", "i": "\u0130"}


@functools.lru_cache(maxsize=4096)
def widened(pattern: str) -> bytes:
    """An expression over UTF-8 bytes that matches at least wherever the pattern does."""
    tree, fold = nodes(pattern)
    return sequence(tree, fold=fold, first=True, last=True).encode()


def nodes(pattern: str) -> tuple[list[tuple[Any, Any]], bool]:
    """The nodes of a pattern, and whether it ignores case as a whole."""
    tree = parsed(pattern)
    return list(tree), bool(tree.state.flags & _IGNORECASE)


def head(pattern: str, max_chars: int) -> tuple[bytes, int]:
    """An expression that every match of at least so many characters begins with, and its width.

    Nothing if the pattern begins with something wider than `max_chars`.
    """
    tree = parsed(pattern)
    fold = bool(tree.state.flags & _IGNORECASE)
    text, width = _head(tree, max_chars, fold=fold, first=True)
    return text.encode(), width


def _head(tree: Any, max_chars: int, *, fold: bool, first: bool = False) -> tuple[str, int]:
    found: list[tuple[Any, Any]] = []
    begun, more = "", 0
    for operator, argument in tree:
        found.append((operator, argument))
        if _width(tree, found) > max_chars:
            found.pop()
            rest = max_chars - _width(tree, found)
            begun, more = _head_of_node(operator, argument, rest, fold=fold)
            break
    return sequence(found, fold=fold, first=first) + begun, _width(tree, found) + more


def _head_of_node(operator: Any, argument: Any, max_chars: int, *, fold: bool) -> tuple[str, int]:
    """What a node begins with that is too wide itself; nothing if that is too wide as well."""
    if operator is ops.SUBPATTERN:
        return _head(argument[3], max_chars, fold=folds(argument, fold=fold))
    if operator is ops.BRANCH:
        heads = [_head(branch, max_chars, fold=fold) for branch in argument[1]]
        if all(width for _, width in heads):
            return f"(?:{'|'.join(text for text, _ in heads)})", max(width for _, width in heads)
    if operator in REPEATS and argument[0]:
        least, _, body = argument
        width = least * body.getwidth()[1]
        if width <= max_chars:
            return repeat(least, least, body, fold=fold), width
        return _head(body, max_chars, fold=fold)
    return "", 0


def least_digits(pattern: str) -> int:
    """How many ASCII digits every match has at least; none if it may hold others than ASCII."""
    tree, fold = nodes(pattern)
    _, foreign = _alphabet(tree, fold=fold)
    return 0 if foreign else _digits(tree)


def _digits(tree: Iterable[tuple[Any, Any]]) -> int:
    return sum(_digits_of_node(operator, argument) for operator, argument in tree)


@functools.lru_cache(maxsize=4096)
def needs_foreign(pattern: str) -> bool:
    """Whether every match has a character outside ASCII."""
    tree, fold = nodes(pattern)
    return not fold and any(_is_foreign(operator, argument) for operator, argument in tree)


def _is_foreign(operator: Any, argument: Any) -> bool:
    if operator in LOOKS:
        return False
    if operator is ops.SUBPATTERN:
        return any(_is_foreign(*each) for each in argument[3])
    if operator is ops.BRANCH:
        return all(any(_is_foreign(*each) for each in branch) for branch in argument[1])
    if operator in REPEATS:
        return bool(argument[0]) and any(_is_foreign(*each) for each in argument[2])
    characters, foreign = _class(operator, argument, fold=False)
    return foreign and not characters


def _digits_of_node(operator: Any, argument: Any) -> int:
    if operator in LOOKS:
        return 0
    if operator is ops.SUBPATTERN:
        return _digits(argument[3])
    if operator is ops.BRANCH:
        return min(map(_digits, argument[1]))
    if operator in REPEATS:
        return int(argument[0]) * _digits(argument[2])
    characters, _ = _class(operator, argument, fold=False)
    return int(characters <= _DIGITS)


def outside(pattern: str) -> str | None:
    """A class of the characters that no match contains; None if there are none."""
    tree, fold = nodes(pattern)
    members, foreign = _alphabet(tree, fold=fold)
    others = _ranges(frozenset(range(128)) - members)
    if not others and foreign:
        return None
    return f"[{others}]" if foreign else f"[{others}\\x80-\\U0010ffff]"


def _alphabet(tree: Iterable[tuple[Any, Any]], *, fold: bool) -> tuple[frozenset[int], bool]:
    """The ASCII characters that a match of a sequence may contain, and whether others can."""
    members, foreign = frozenset[int](), False
    for operator, argument in tree:
        if operator in LOOKS:
            continue
        if operator is ops.SUBPATTERN:
            parts = [_alphabet(argument[3], fold=folds(argument, fold=fold))]
        elif operator is ops.BRANCH:
            parts = [_alphabet(branch, fold=fold) for branch in argument[1]]
        elif operator in REPEATS:
            parts = [_alphabet(argument[2], fold=fold)]
        else:
            parts = [_class(operator, argument, fold=fold)]
        for found, beyond in parts:
            members, foreign = members | found, foreign or beyond
    return members, foreign


def _width(tree: Any, row: list[tuple[Any, Any]]) -> int:
    longest: int = parser.SubPattern(tree.state, row).getwidth()[1]
    return min(longest, MAX_CHARS)


def sequence(
    tree: Iterable[tuple[Any, Any]], *, fold: bool, first: bool = False, last: bool = False
) -> str:
    """Widen nodes in a row; `first` and `last` say that nothing stands before or after them."""
    row = list(tree)
    begin = next((at for at, each in enumerate(row) if each[0] not in LOOKS), len(row))
    end = next((at for at in range(len(row), 0, -1) if row[at - 1][0] not in LOOKS), 0)
    before = edge(row[:begin][-1:], -1, fold=fold) if first else ""
    after = edge(row[end:][:1], 1, fold=fold) if last and end else ""
    core = [
        node(
            *each,
            fold=fold,
            first=first and not before and at == begin,
            last=last and not after and at == end - 1,
        )
        for at, each in enumerate(row[begin:end], begin)
    ]
    return before + "".join(core) + after


def edge(looks: list[tuple[Any, Any]], side: int, *, fold: bool) -> str:
    """A look-around at the edge of the pattern as text that must be there.

    That is one that looks to the left (-1) before its beginning, or to the right (1) after its end.
    """
    for operator, (direction, body) in looks:
        if direction != side:
            return ""
        if operator is ops.ASSERT:
            return f"(?:{sequence(body, fold=fold)})"
        if is_one_character(body):
            characters, _ = _class(*body[0], fold=fold)
            others = _class_text(frozenset(range(128)) - characters, foreign=True)
            return f"(?:^|{others})" if direction < 0 else f"(?:{others}|\\z)"
    return ""


def node(
    operator: Any, argument: Any, *, fold: bool, first: bool = False, last: bool = False
) -> str:
    """Widen one node."""
    if operator in LOOKS:
        return ""
    if operator is ops.SUBPATTERN:
        inner = folds(argument, fold=fold)
        return f"(?:{sequence(argument[3], fold=inner, first=first, last=last)})"
    if operator is ops.BRANCH:
        branches = (sequence(each, fold=fold, first=first, last=last) for each in argument[1])
        return f"(?:{'|'.join(branches)})"
    if operator in REPEATS:
        return repeat(*argument, fold=fold)
    if operator is ops.LITERAL:
        return _letter(chr(argument), fold=fold)
    return _one_of(*_class(operator, argument, fold=fold))


def _letter(letter: str, *, fold: bool) -> str:
    if not fold:
        return _bytes(letter)
    if twin := _FOREIGN_CASE.get(letter.lower()):
        return f"(?:[{letter.upper()}{letter.lower()}]|{_bytes(twin)})"
    return _one_of(*_class(ops.LITERAL, ord(letter), fold=True))


def _one_of(characters: frozenset[int], foreign: bool) -> str:  # noqa: FBT001 - as `_class` says it
    return _class_text(characters, foreign=foreign) + ("+" if foreign else "")


def folds(group: Any, *, fold: bool) -> bool:
    """Whether case is ignored inside a group that stands where it is or is not."""
    _, added, removed, _ = group
    return bool((fold or added & _IGNORECASE) and not removed & _IGNORECASE)


def repeat(least: int, most: int, body: Any, *, fold: bool) -> str:
    """Widen a repeated node; a long count becomes any number."""
    if is_one_character(body):
        characters, foreign = _class(*body[0], fold=fold)
        item, counted = _class_text(characters, foreign=foreign), _MAX_COUNTED
        unlimited = foreign or most > counted
    else:
        item, counted = f"(?:{sequence(body, fold=fold)})", _MAX_COUNTED_GROUP
        unlimited = most > counted
    least = min(least, counted)
    return f"{item}{{{least},}}" if unlimited else f"{item}{{{least},{most}}}"


def is_one_character(body: Any) -> bool:
    """Whether a sequence is a single character or class."""
    return len(body) == 1 and _is_class(body[0][0])


def _is_class(operator: Any) -> bool:
    return operator in (ops.LITERAL, ops.NOT_LITERAL, ops.IN, ops.ANY)


def _class(operator: Any, argument: Any, *, fold: bool) -> tuple[frozenset[int], bool]:
    """The ASCII characters that a node matches, and whether it can match others."""
    items = argument if operator is ops.IN else [(operator, argument)]
    negated = any(kind is ops.NEGATE for kind, _ in items)
    members: set[int] = set()
    foreign = False
    for kind, value in items:
        found, beyond = _members(kind, value)
        members |= found
        foreign |= beyond
    if fold:
        foreign |= any(chr(code).lower() in _FOREIGN_CASE for code in members)
        members |= {ord(chr(code).swapcase()) for code in members}
    if negated:
        return frozenset(range(128)) - members, True
    return frozenset(members), foreign


# As `regex` reads them, which searches; `str.isspace` counts four control characters more.
_CATEGORIES: Final = {
    category: frozenset(code for code in range(128) if regex.fullmatch(written, chr(code)))
    for category, written in (
        (ops.CATEGORY_DIGIT, r"\d"),
        (ops.CATEGORY_SPACE, r"\s"),
        (ops.CATEGORY_WORD, r"\w"),
        (ops.CATEGORY_NOT_DIGIT, r"\D"),
        (ops.CATEGORY_NOT_SPACE, r"\S"),
        (ops.CATEGORY_NOT_WORD, r"\W"),
    )
}


def _members(kind: Any, value: Any) -> tuple[set[int], bool]:
    """The ASCII characters that one item of a class matches, and whether it matches others."""
    if kind is ops.LITERAL:
        return ({value}, False) if value < 128 else (set(), True)
    if kind is ops.RANGE:
        low, high = value
        return set(range(low, min(high, 127) + 1)), high > 127
    if kind is ops.NOT_LITERAL:
        return set(range(128)) - {value}, True
    if kind is ops.CATEGORY:
        return set(_CATEGORIES[value]), True
    return (set(), False) if kind is ops.NEGATE else (set(range(128)), True)


def _class_text(characters: frozenset[int], *, foreign: bool) -> str:
    codes = characters | frozenset(range(0x80, 0x100)) if foreign else characters
    if len(codes) == 1:
        return _code(min(codes))
    return f"[{_ranges(codes)}]"


def _bytes(text: str) -> str:
    return "".join(map(_code, text.encode("utf-8", "surrogatepass")))


def _ranges(codes: frozenset[int]) -> str:
    begins = sorted(code for code in codes if code - 1 not in codes)
    ends = sorted(code for code in codes if code + 1 not in codes)
    return "".join(map(_range, begins, ends))


def _range(begin: int, end: int) -> str:
    return _code(begin) if begin == end else f"{_code(begin)}-{_code(end)}"


def _code(code: int) -> str:
    return chr(code) if code < 128 and chr(code).isalnum() else f"\\x{code:02x}"
