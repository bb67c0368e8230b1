"""Widens a pattern to an expression over UTF-8 bytes that a prefilter can look for.

The expression matches wherever the pattern does, and possibly elsewhere: look-around is dropped
(except at either end, where it is kept as text that must be there), long repeats lose their upper
bound, and every character outside ASCII becomes any bytes outside ASCII.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .bounds import MAX_CHARS, ops, parser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["begins_with", "head", "widened"]

_IGNORECASE: Final = 2
_MAX_COUNTED: Final = 20
_MAX_COUNTED_GROUP: Final = 3
_LOOKS: Final = (ops.ASSERT, ops.ASSERT_NOT)
_REPEATS: Final = (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT)
# ASCII letters that a letter outside ASCII equals when case is ignored.
_FOREIGN_CASE: Final = frozenset("sSkKiI")


def widened(pattern: str) -> bytes:
    """An expression over UTF-8 bytes that matches at least wherever the pattern does."""
    tree = parser.parse(pattern)
    fold = bool(tree.state.flags & _IGNORECASE)
    return _sequence(tree, fold=fold, first=True, last=True).encode()


def head(pattern: str, max_chars: int) -> tuple[bytes, int]:
    """An expression that every match of at least so many characters begins with, and its width.

    Nothing if the pattern begins with something wider than `max_chars`.
    """
    tree = parser.parse(pattern)
    nodes: list[tuple[Any, Any]] = []
    for operator, argument in tree:
        nodes.append((operator, argument))
        if _width(tree, nodes) > max_chars:
            nodes.pop()
            if operator in _REPEATS and argument[0]:
                nodes.append((operator, (argument[0], argument[0], argument[2])))
                if _width(tree, nodes) > max_chars:
                    nodes.pop()
            break
    fold = bool(tree.state.flags & _IGNORECASE)
    return _sequence(nodes, fold=fold, first=True).encode(), _width(tree, nodes)


def begins_with(pattern: str, characters: str) -> bool:
    """Whether every match begins with one of these ASCII characters."""
    tree = parser.parse(pattern)
    first, foreign, empty = _first(tree, fold=bool(tree.state.flags & _IGNORECASE))
    return not foreign and not empty and first <= frozenset(map(ord, characters))


def _first(tree: Iterable[tuple[Any, Any]], *, fold: bool) -> tuple[frozenset[int], bool, bool]:
    """The ASCII characters a sequence can begin with, whether others can, whether nothing can."""
    members: frozenset[int] = frozenset()
    foreign = False
    for operator, argument in tree:
        found, beyond, empty = _first_of_node(operator, argument, fold=fold)
        members, foreign = members | found, foreign or beyond
        if not empty:
            return members, foreign, False
    return members, foreign, True


def _first_of_node(
    operator: Any, argument: Any, *, fold: bool
) -> tuple[frozenset[int], bool, bool]:
    if operator in _LOOKS:
        return frozenset(), False, True
    if operator is ops.SUBPATTERN:
        return _first(argument[3], fold=fold or bool(argument[1] & _IGNORECASE))
    if operator is ops.BRANCH:
        each = [_first(branch, fold=fold) for branch in argument[1]]
        members = frozenset().union(*(one[0] for one in each))
        return members, any(one[1] for one in each), any(one[2] for one in each)
    if operator in _REPEATS:
        members, foreign, empty = _first(argument[2], fold=fold)
        return members, foreign, empty or argument[0] == 0
    return (*_class(operator, argument, fold=fold), False)


def _width(tree: Any, nodes: list[tuple[Any, Any]]) -> int:
    longest: int = parser.SubPattern(tree.state, nodes).getwidth()[1]
    return min(longest, MAX_CHARS)


def _sequence(
    tree: Iterable[tuple[Any, Any]], *, fold: bool, first: bool = False, last: bool = False
) -> str:
    """Widen nodes in a row; `first` and `last` say that nothing stands before or after them."""
    nodes = list(tree)
    begin = next((at for at, node in enumerate(nodes) if node[0] not in _LOOKS), len(nodes))
    end = next((at for at in range(len(nodes), 0, -1) if nodes[at - 1][0] not in _LOOKS), 0)
    before = _edge(nodes[:begin][-1:], fold=fold) if first else ""
    after = _edge(nodes[end:][:1], fold=fold) if last and end else ""
    core = [
        _node(
            *node,
            fold=fold,
            first=first and not before and at == begin,
            last=last and not after and at == end - 1,
        )
        for at, node in enumerate(nodes[begin:end], begin)
    ]
    return before + "".join(core) + after


def _edge(looks: list[tuple[Any, Any]], *, fold: bool) -> str:
    """A look-around at the edge of the pattern as text that must be there."""
    for operator, (direction, body) in looks:
        if operator is ops.ASSERT:
            return f"(?:{_sequence(body, fold=fold)})"
        if len(body) == 1 and _is_class(body[0][0]):
            characters, _ = _class(*body[0], fold=fold)
            others = _class_text(frozenset(range(128)) - characters, foreign=True)
            return f"(?:^|{others})" if direction < 0 else f"(?:{others}|\\z)"
    return ""


def _node(operator: Any, argument: Any, *, fold: bool, first: bool, last: bool) -> str:
    if operator in _LOOKS:
        return ""
    if operator is ops.SUBPATTERN:
        _, added, removed, body = argument
        inner = bool((fold or added & _IGNORECASE) and not removed & _IGNORECASE)
        return f"(?:{_sequence(body, fold=inner, first=first, last=last)})"
    if operator is ops.BRANCH:
        branches = (_sequence(each, fold=fold, first=first, last=last) for each in argument[1])
        return f"(?:{'|'.join(branches)})"
    if operator in _REPEATS:
        return _repeat(*argument, fold=fold)
    characters, foreign = _class(operator, argument, fold=fold)
    return _class_text(characters, foreign=foreign) + ("+" if foreign else "")


def _repeat(least: int, most: int, body: Any, *, fold: bool) -> str:
    if len(body) == 1 and _is_class(body[0][0]):
        characters, foreign = _class(*body[0], fold=fold)
        item, counted = _class_text(characters, foreign=foreign), _MAX_COUNTED
        unlimited = foreign or most > counted
    else:
        item, counted = f"(?:{_sequence(body, fold=fold)})", _MAX_COUNTED_GROUP
        unlimited = most > counted
    least = min(least, counted)
    return f"{item}{{{least},}}" if unlimited else f"{item}{{{least},{most}}}"


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
        foreign |= any(chr(code) in _FOREIGN_CASE for code in members)
        members |= {ord(chr(code).swapcase()) for code in members}
    if negated:
        return frozenset(range(128)) - members, True
    return frozenset(members), foreign


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


_CATEGORIES: Final[dict[Any, Callable[[str], bool]]] = {
    ops.CATEGORY_DIGIT: str.isdigit,
    ops.CATEGORY_SPACE: str.isspace,
    ops.CATEGORY_WORD: _is_word,
    ops.CATEGORY_NOT_DIGIT: lambda char: not char.isdigit(),
    ops.CATEGORY_NOT_SPACE: lambda char: not char.isspace(),
    ops.CATEGORY_NOT_WORD: lambda char: not _is_word(char),
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
        return {code for code in range(128) if _CATEGORIES[value](chr(code))}, True
    return (set(), False) if kind is ops.NEGATE else (set(range(128)), True)


def _class_text(characters: frozenset[int], *, foreign: bool) -> str:
    ranges = "".join(f"\\x{code:02x}" for code in sorted(characters))
    return f"[{ranges}" + ("\\x80-\\xff]" if foreign else "]")
