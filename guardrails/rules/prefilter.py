"""One pass over a text that says which patterns could match in it, and about where."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import hyperscan

from .bounds import prove
from .databases import database
from .digits import Digits
from .widening import head, least_digits, needs_foreign, widened

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from .bounds import Bounds

__all__ = ["Beside", "Places", "Prefilter", "Scanner", "Sought", "Whether", "merged"]

# Stretches of a text, in order, in which a match may begin: first character, one past the last,
# and one past the last character that can matter to such a match.
Places = list[tuple[int, int, int]]

# A pattern that reaches at most this far is looked for as a whole.
_NEAR_CHARS: Final = 96

# So many digits make a number worth a second look: a year has them, most words of prose do not.
NUMBER_DIGITS: Final = 4

# Hyperscan refuses what is much longer, after a second of trying.
_MAX_EXPRESSION: Final = 20_000

_NAMED: Final = re.compile(r"\(\?P<\w+>")
# Bytes of a character.
_MAX_BYTES: Final = 4
# Bytes that begin no character.
_CONTINUATION: Final = bytes(range(0x80, 0xC0))


class Whether:
    """Says which expressions match a text at all. Not for use from several threads at once."""

    def __init__(self, expressions: Iterable[bytes]) -> None:
        """Compile; an expression that Hyperscan refuses is always possible."""
        self._scanner = Scanner(expressions, flags=hyperscan.HS_FLAG_SINGLEMATCH)

    def possible(self, text: str) -> list[int]:
        """The expressions that match somewhere in the text, by number."""
        hits = self._scanner.hits(text.encode("utf-8", "surrogatepass"))
        return [*self._scanner.always, *sorted(hits)]


class Prefilter:
    """Says where patterns may match. Not for use from several threads at once.

    A pattern that reaches far is looked for by its head or by a hint: a pattern that every match
    begins with. A pattern that counts only beside certain words is looked for after those words.
    Patterns that need several digits are looked for only in the neighbourhood of digits, and those
    that need a character outside ASCII only in a text that has some.
    """

    def __init__(self, sought: Sequence[Sought]) -> None:
        """Compile; patterns with the same expression share one."""
        self._left = max((one.left for one in sought), default=0)
        clues = [one.clues() for one in sought]
        numbers = {at for at, one in enumerate(sought) if one.is_number}
        foreign = {at for at, one in enumerate(sought) if needs_foreign(one.begins)} - numbers
        others = [at for at in range(len(clues)) if at not in numbers | foreign]
        self._anywhere = _Search({at: clues[at] for at in others})
        self._outside_ascii = _Search({at: clues[at] for at in sorted(foreign)})
        self._near_digits = _Search({at: clues[at] for at in numbers})
        bounds = [sought[at].bounds for at in numbers]
        self._digits = Digits(
            count=NUMBER_DIGITS,
            within=max((each.max_chars or 0 for each in bounds), default=0),
            margin=_MAX_BYTES * max((max(each.left, each.right) for each in bounds), default=0),
        )

    def places(self, text: str, begin: int) -> dict[int, Places]:
        """Where, from `begin` on, a match of each pattern by number may begin."""
        base = max(0, begin - self._left)
        data = text[base:].encode("utf-8", "surrogatepass")
        is_ascii = len(data) == len(text) - base
        found: dict[int, list[Places]] = {}
        searches = [(self._anywhere, None), (self._near_digits, self._digits)]
        if not is_ascii:
            searches.append((self._outside_ascii, None))
        for search, near in searches:
            if not search.clues:
                continue
            for index, clue, ends in search.hits(data, near=near):
                chars = ends if is_ascii else _characters(data, ends)
                found.setdefault(index, []).append(clue.places(chars, base=base, begin=begin))
            for index in search.always:
                found[index] = [[(begin, len(text), len(text))]]
        return {index: merged(found[index]) for index in sorted(found)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """A pattern to look for, and what is known about it.

    `openings` are short patterns, best plain texts; one of them stands in every match, and ends at
    most so many characters after its beginning. As texts they cost next to nothing, however many.
    """

    pattern: str
    hint: str | None = None
    openings: tuple[tuple[str, int], ...] = ()
    beside: Beside | None = None

    @property
    def unnamed(self) -> str:
        """The pattern without names of groups."""
        return _NAMED.sub("(?:", self.pattern)

    @property
    def bounds(self) -> Bounds:
        """How far a match reaches."""
        return prove(self.pattern)

    @property
    def left(self) -> int:
        """How many characters before a match matter to finding it."""
        return self.bounds.left if self.beside is None else self.beside.left

    @property
    def begins(self) -> str:
        """A pattern for what has to be there."""
        return self.pattern if self.beside is None else self.beside.words

    @property
    def is_number(self) -> bool:
        """Whether every match is near and has several digits and no character outside ASCII."""
        is_plain = self.hint is None and self.beside is None and not self.openings
        near = self.bounds.reach <= _NEAR_CHARS
        return is_plain and near and least_digits(self.pattern) >= NUMBER_DIGITS

    def clues(self) -> list[_Clue]:
        """What to look for: any of these."""
        if not self.openings:
            return [self._clue()]
        beyond = self.bounds.reach
        return [
            _Clue(expression=widened(text), before=within, beyond=beyond)
            for text, within in self.openings
        ]

    def _clue(self) -> _Clue:
        bounds = self.bounds
        if self.beside is not None:
            expression = widened(self.beside.words)
            return _Clue(expression=expression, after=self.beside.chars, beyond=bounds.reach)
        if self.hint is not None:
            before = prove(self.hint).reach
            return _Clue(expression=widened(self.hint), before=before, beyond=bounds.reach)
        expression, width = head(self.pattern, _NEAR_CHARS)
        if bounds.reach <= _NEAR_CHARS or not width:
            expression, width = widened(self.pattern), bounds.reach
            return _Clue(expression=expression, before=width, beyond=bounds.right)
        return _Clue(expression=expression, before=width, beyond=bounds.reach)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """Words, as a pattern, of which one must end at most so many characters before a match."""

    words: str
    chars: int

    @property
    def left(self) -> int:
        """How many characters before a match matter to finding it."""
        return self.chars + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clue:
    """What to look for, how far before and after its end a match may begin, how far it may go."""

    expression: bytes
    before: int = 0
    after: int = 0
    beyond: int

    def places(self, ends: Iterable[int], *, base: int, begin: int) -> Places:
        places: Places = []
        for end in ends:
            low, high = max(begin, base + end - self.before), base + end + self.after
            if places and low <= places[-1][1]:
                places[-1] = places[-1][0], high, high + self.beyond
            elif high > begin:
                places.append((low, high, high + self.beyond))
        return places


class _Search:
    """Clues in one database."""

    def __init__(self, clues: Mapping[int, Sequence[_Clue]]) -> None:
        self.clues = clues
        sharing: dict[bytes, list[tuple[int, _Clue]]] = {}
        for index, each in clues.items():
            for clue in each:
                sharing.setdefault(clue.expression, []).append((index, clue))
        self._sharers = tuple(sharing.values())
        self._scanner = Scanner(sharing, flags=0)
        self.always = tuple(
            index for number in self._scanner.always for index, _ in self._sharers[number]
        )

    def hits(self, data: bytes, *, near: Digits | None) -> Iterator[tuple[int, _Clue, list[int]]]:
        """The clues that occur in the bytes, by number, and where they end."""
        if near is None:
            found = self._scanner.hits(data)
        else:
            neighbourhood = near.neighbourhood(data)
            found = {
                number: neighbourhood.back(ends)
                for number, ends in self._scanner.hits(neighbourhood.data).items()
            }
        for number, ends in found.items():
            for index, clue in self._sharers[number]:
                yield index, clue, ends


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


class Scanner:
    """Expressions in one database. Not for use from several threads at once."""

    def __init__(self, expressions: Iterable[bytes], *, flags: int) -> None:
        """Compile; `always` are the numbers of those that Hyperscan refuses."""
        offered = dict(enumerate(expressions))
        self._flags = flags | hyperscan.HS_FLAG_DOTALL
        wanted = {at: each for at, each in offered.items() if 0 < len(each) <= _MAX_EXPRESSION}
        try:
            self._database = self._compile(wanted)
        except hyperscan.HyperscanError:
            wanted = {at: each for at, each in wanted.items() if self._compiles(each)}
            self._database = self._compile(wanted)
        self.always = tuple(at for at in offered if at not in wanted)

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
        return database(expressions, flags=self._flags)

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
