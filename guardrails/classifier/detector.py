"""A classifier as a detector of the window: questions at checkpoints, matches from answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.findings import Match

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .checkpoints import Checkpoints, Cut

__all__ = ["ClassifierDetector", "ClassifierScan"]


class ClassifierDetector:
    """Judges with some heads of a model; each head stands for one category."""

    def __init__(
        self, name: str, *, version: str, heads: Mapping[str, str], checkpoints: Checkpoints
    ) -> None:
        """Map each head to its category."""
        self.name = name
        self.version = version
        self.categories = frozenset(heads.values())
        self._heads = dict(heads)
        self._checkpoints = checkpoints

    def open(self) -> ClassifierScan:
        """Begin a text."""
        return ClassifierScan(self._heads, self._checkpoints)


class ClassifierScan:
    """One text: what lies before a checkpoint is settled when the checkpoint is judged.

    A match covers the text since the checkpoint before: what earlier checkpoints settled is
    out of reach.
    """

    def __init__(self, heads: Mapping[str, str], checkpoints: Checkpoints) -> None:
        """Nothing arrived yet."""
        self.settled = 0
        self._heads = heads
        self._checkpoints = checkpoints
        self._text = ""
        self._base = 0
        self._since = 0
        self._asked: dict[int, tuple[Cut, str]] = {}
        self._number = 0

    def push(self, piece: str, *, last: bool, timeout_s: float) -> Sequence[Match]:
        """Take the next piece; matches come with the answers."""
        del timeout_s  # the judge is timed by whoever awaits it
        self._text += piece
        while cut := self._checkpoints.next_cut(
            self._text, self._since, base=self._base, last=last
        ):
            window = self._text[cut.start - self._base : cut.end - self._base]
            self._asked[self._number] = (cut, window)
            self._number += 1
            self._since = cut.end
        self._forget()
        return ()

    def pending(self) -> Sequence[tuple[int, str]]:
        """The windows not yet judged."""
        return [(number, window) for number, (_, window) in self._asked.items()]

    def resolve(self, number: int, scores: Mapping[str, float]) -> Sequence[Match]:
        """Take the scores of one window, in any order."""
        cut, _ = self._asked.pop(number)
        self.settled = min((each.since for each, _ in self._asked.values()), default=self._since)
        return [
            Match(
                start=cut.since,
                end=cut.end,
                category=category,
                rule_id=f"model.{head}",
                score=scores[head],
            )
            for head, category in self._heads.items()
        ]

    def _forget(self) -> None:
        """Keep only what a later window can see."""
        keep = max(self._base, self._since - self._checkpoints.window_chars)
        self._text = self._text[keep - self._base :]
        self._base = keep
