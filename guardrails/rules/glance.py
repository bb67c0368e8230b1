"""One pass over a short piece of text that says which of several scans have to look at it.

Most pieces of an answer hold nothing that a rule could begin with, and nothing that could become
a match if more text came. One database of all that says so for all scans at once. It is a question
about text in ASCII: what else there is may read differently, and everybody looks at it.
In a stream the piece must be no longer than `NEAR_CHARS`, within which `LiveQuestion` asks every
pattern what it could still become.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .live import NEAR_CHARS
from .prefilter import Scanner
from .unfinished import unfinished
from .widening import needs_foreign

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from .prefilter import Sought

__all__ = ["NEAR_CHARS", "Glance", "Sign", "signs"]

_ANY_CASE: Final = b"(?i)"


@dataclass(frozen=True, slots=True)
class Sign:
    """An expression, and how many characters after its end a match may begin."""

    expression: bytes
    after: int = 0


def signs(sought: Iterable[Sought], *, streamed: bool, any_case: bool) -> Iterator[Sign]:
    """What stands in ASCII where these could match, or, in a stream, could still begin to."""
    case = _ANY_CASE if any_case else b""
    for one in sought:
        if not needs_foreign(one.begins):
            for clue in one.clues():
                yield Sign(case + clue.expression, clue.after)
        if streamed:
            yield Sign(case + unfinished(one.unnamed))


class Glance:
    """Knows the signs of each scan by its name. Not for use from several threads at once."""

    def __init__(self, by_name: Mapping[str, Iterable[Sign]]) -> None:
        """Compile; a scan with a sign that Hyperscan refuses always looks."""
        sharing: dict[bytes, list[tuple[str, int]]] = {}
        for name, found in by_name.items():
            for sign in found:
                sharing.setdefault(sign.expression, []).append((name, sign.after))
        self._sharers = tuple(tuple(set(each)) for each in sharing.values())
        self._scanner = Scanner(sharing, flags=0)
        self._always = {name for at in self._scanner.always for name, _ in self._sharers[at]}

    def concerned(self, before: str, piece: str) -> set[str]:
        """Who has to look at a piece of ASCII after the end of this text, ASCII as well.

        `before` is as much of it as the scans look back at.
        """
        concerned, begin = set(self._always), len(before)
        for number, ends in self._scanner.hits((before + piece).encode()).items():
            concerned.update(
                name for name, after in self._sharers[number] if ends[-1] + after > begin
            )
        return concerned
