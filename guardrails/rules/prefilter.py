"""One pass over a text that says which patterns could match in it, and about where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import hyperscan

from .bounds import prove
from .widening import head, widened

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Places", "Prefilter", "Whether", "merged"]

# Stretches of a text, in order, in which a match may begin: first character, one past the last,
# and one past the last character that can matter to such a match.
Places = list[tuple[int, int, int]]

# A pattern that reaches at most this far is looked for as a whole.
_NEAR_CHARS: Final = 96

# Bytes that begin no character.
_CONTINUATION: Final = bytes(range(0x80, 0xC0))


class Whether:
    """Says which expressions match a text at all. Not for use from several threads at once."""

    def __init__(self, expressions: Iterable[bytes]) -> None:
        """Compile; an expression that Hyperscan refuses is always possible."""
        self._scanner = _Scanner(expressions, flags=hyperscan.HS_FLAG_SINGLEMATCH)

    def possible(self, text: str) -> list[int]:
        """The expressions that match somewhere in the text, by number."""
        hits = self._scanner.hits(text.encode("utf-8", "surrogatepass"))
        return [*self._scanner.always, *sorted(hits)]


class Prefilter:
    """Says where patterns may match. Not for use from several threads at once.

    A pattern that reaches far is looked for by its head or by a hint: a pattern that every match
    begins with.
    """

    def __init__(self, patterns: Sequence[str], *, hints: Sequence[str | None] = ()) -> None:
        """Compile; patterns with the same expression share one."""
        self._left = max((prove(pattern).left for pattern in patterns), default=0)
        sharing: dict[bytes, list[tuple[int, _Clue]]] = {}
        for index, pattern in enumerate(patterns):
            clue = _clue(pattern, hints[index] if hints else None)
            sharing.setdefault(clue.expression, []).append((index, clue))
        self._scanner = _Scanner(sharing, flags=0)
        self._sharers = tuple(sharing.values())

    def places(self, text: str, begin: int) -> dict[int, Places]:
        """Where, from `begin` on, a match of each pattern by number may begin."""
        base = max(0, begin - self._left)
        data = text[base:].encode("utf-8", "surrogatepass")
        everywhere = [(begin, len(text), len(text))]
        places = {
            index: everywhere
            for number in self._scanner.always
            for index, _ in self._sharers[number]
        }
        for number, hits in self._scanner.hits(data).items():
            ends = hits if len(data) == len(text) - base else _characters(data, hits)
            for index, clue in self._sharers[number]:
                places[index] = clue.places(ends, base=base, begin=begin)
        return dict(sorted(places.items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clue:
    """What to look for, how far before its end a match may begin, and how far after it may go."""

    expression: bytes
    before: int
    beyond: int

    def places(self, ends: Iterable[int], *, base: int, begin: int) -> Places:
        places: Places = []
        for end in ends:
            low, high = max(begin, base + end - self.before), base + end
            if places and low <= places[-1][1]:
                places[-1] = places[-1][0], high, high + self.beyond
            elif high > begin:
                places.append((low, high, high + self.beyond))
        return places


def _clue(pattern: str, hint: str | None) -> _Clue:
    bounds = prove(pattern)
    if hint is not None:
        return _Clue(expression=widened(hint), before=prove(hint).reach, beyond=bounds.reach)
    expression, width = head(pattern, _NEAR_CHARS)
    if bounds.reach <= _NEAR_CHARS or not width:
        return _Clue(expression=widened(pattern), before=bounds.reach, beyond=bounds.right)
    return _Clue(expression=expression, before=width, beyond=bounds.reach)


def merged(places: Iterable[Places]) -> Places:
    """The places of several patterns as those of one."""
    union: Places = []
    for low, high, end in sorted(place for each in places for place in each):
        if union and low <= union[-1][1]:
            begin, until, reach = union[-1]
            union[-1] = begin, max(high, until), max(end, reach)
        else:
            union.append((low, high, end))
    return union


class _Scanner:
    def __init__(self, expressions: Iterable[bytes], *, flags: int) -> None:
        wanted = dict(enumerate(expressions))
        self._flags = flags | hyperscan.HS_FLAG_DOTALL
        self.always: tuple[int, ...] = ()
        try:
            self._database = self._compile(wanted)
        except hyperscan.HyperscanError:
            self.always = tuple(index for index in wanted if not self._compiles(wanted[index]))
            self._database = self._compile(
                {index: wanted[index] for index in wanted if index not in self.always}
            )

    def hits(self, data: bytes) -> dict[int, list[int]]:
        """Where matches end in the bytes, by number of the expression, in order."""
        found: dict[int, list[int]] = {}

        def see(index: int, _start: int, end: int, _flags: int, _context: object) -> None:
            found.setdefault(index, []).append(end)

        if self._database is not None and data:
            self._database.scan(data, match_event_handler=see)
        return found

    def _compile(self, expressions: Mapping[int, bytes]) -> hyperscan.Database | None:
        if not expressions:
            return None
        database = hyperscan.Database()
        database.compile(
            expressions=list(expressions.values()),
            ids=list(expressions),
            elements=len(expressions),
            flags=[self._flags] * len(expressions),
        )
        return database

    def _compiles(self, expression: bytes) -> bool:
        try:
            self._compile({0: expression})
        except hyperscan.HyperscanError:
            return False
        return True


def _characters(data: bytes, ends: Iterable[int]) -> list[int]:
    """Positions in bytes as positions in characters; both in order."""
    chars, done, count = [], 0, 0
    for end in ends:
        count += len(data[done:end].translate(None, _CONTINUATION))
        done = end
        chars.append(count)
    return chars
