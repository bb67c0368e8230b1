"""Stop strings in a text that arrives in pieces."""

from __future__ import annotations

__all__ = ["StopScanner"]


class StopScanner:
    """Passes text on and holds back only what could still become a stop string.

    The answer ends before the stop string that is complete first; of two that are complete at the
    same character, before the one that begins first. That rule does not depend on the pieces.
    """

    def __init__(self, stops: tuple[str, ...]) -> None:
        """Watch for these strings; none of them is empty."""
        self._stops = stops
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """Take more text; return what can be passed on now."""
        if not self._stops:
            return text
        self._held += text
        cut = self._find()
        if cut is not None:
            released, self._held = self._held[:cut], ""
            self.stopped = True
            return released
        keep = self._undecided()
        released = self._held[: len(self._held) - keep]
        self._held = self._held[len(self._held) - keep :]
        return released

    def flush(self) -> str:
        """The text is complete: return what was held back."""
        released, self._held = self._held, ""
        return released

    def _find(self) -> int | None:
        """Where the answer ends, if a stop string is complete."""
        found = [
            (start + len(stop), start)
            for stop in self._stops
            if (start := self._held.find(stop)) >= 0
        ]
        return min(found)[1] if found else None

    def _undecided(self) -> int:
        """The length of the longest suffix that is a proper prefix of a stop string."""
        longest = min(len(self._held), max(len(stop) for stop in self._stops) - 1)
        for length in range(longest, 0, -1):
            suffix = self._held[-length:]
            if any(len(stop) > length and stop.startswith(suffix) for stop in self._stops):
                return length
        return 0
