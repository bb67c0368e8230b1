"""Looks at a text before its detectors do, and tells which of them need not look at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from guardrails.rules import NEAR_CHARS, Glance

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from guardrails.rules import Sign

__all__ = ["Glances", "Onlooker"]

# In a longer text something is found for nearly every detector.
_MOST_CHARS: Final = 1_024

_NOBODY: Final = frozenset[str]()


class _Signed(Protocol):
    """A detector that can say what it looks for."""

    name: str

    @property
    def left_chars(self) -> int:
        """How many characters before a match can matter."""

    def signs(self, *, streamed: bool) -> Iterator[Sign]:
        """What a text in ASCII has where this detector could find something."""


class Glances:
    """What some detectors look for in whole texts, and some of them in streams. Shared."""

    def __init__(self, whole: Iterable[_Signed], streamed: Iterable[_Signed]) -> None:
        """Compile; do it once."""
        self._detectors = {each.name: each for each in whole}
        self._whole = Glance(
            {name: each.signs(streamed=False) for name, each in self._detectors.items()}
        )
        self._streaming = frozenset(each.name for each in streamed)
        self._streamed = Glance(
            {name: self._detectors[name].signs(streamed=True) for name in sorted(self._streaming)}
        )
        self.left_chars = max(each.left_chars for each in self._detectors.values())

    def covers(self, detectors: Iterable[object]) -> bool:
        """Whether each detector of a known name is the very one that is known by it."""
        named = [each for each in detectors if getattr(each, "name", "") in self._detectors]
        return bool(named) and all(each is self._detectors[each.name] for each in named)  # type: ignore[attr-defined]

    def idle(self, before: str, piece: str, *, last: bool) -> Collection[str]:
        """Who need not look at a piece that comes after this text."""
        if last:
            if len(piece) > _MOST_CHARS:
                return _NOBODY
            return self._detectors.keys() - self._whole.concerned(before, piece)
        if len(piece) > NEAR_CHARS:
            return _NOBODY
        return self._streaming - self._streamed.concerned(before, piece)


class Onlooker:
    """One text on its way past."""

    __slots__ = ("_glances", "before")

    def __init__(self, glances: Glances) -> None:
        """Begin a text."""
        self._glances = glances
        # The end of what has passed, as far as any detector looks back.
        self.before = ""

    def idle(self, piece: str, *, last: bool) -> Collection[str]:
        """The detectors that find nothing in the next piece and hold nothing of it.

        That is, if all that came before has settled with them, and its end read as it stands.
        """
        before = self.before
        if not (piece.isascii() and before.isascii()):
            return _NOBODY
        return self._glances.idle(before, piece, last=last)

    def passed(self, piece: str) -> None:
        """Everybody has taken the piece."""
        self.before = (self.before + piece)[-self._glances.left_chars :]
