"""The application's own secrets in an answer: its system prompt, and canaries planted in it.

Covered: a long verbatim overlap with a system prompt of the conversation, whatever the case,
width, accents, look-alike letters or spacing within a line; a canary (`CANARY-` and 16 to 64
letters or digits) that stands in a system prompt, even once.
Not covered: paraphrase, translation, and overlap shorter than the policy's `overlap_chars`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

import regex

from guardrails.findings import Match
from guardrails.normalise import FOLDED, NormalisedScan, read

if TYPE_CHECKING:
    from guardrails.window.lanes import Scan
    from guardrails.window.surroundings import Surroundings

__all__ = ["LeakDetector"]

# A run shorter than this is common language; it is released while it grows. A finding begins
# after it, so that what was released stays released.
_QUIET_CHARS: Final = 16
_CANARY: Final = regex.compile(r"(?<![a-z0-9])canary-[a-z0-9]{16,64}(?![a-z0-9])")


class LeakDetector:
    """Compares an answer with the system prompts of its own conversation."""

    name = "leak"
    version = "1"
    categories = frozenset({"SYSTEM_PROMPT", "CANARY"})
    unbounded = ()

    def open(self) -> Scan:
        """Begin a text of which no conversation is known."""
        return _NothingToLeak()

    def open_in(self, surroundings: Surroundings, *, overlap_chars: int) -> Scan:
        """Begin a text in its conversation."""
        if not surroundings.system_prompts:
            return _NothingToLeak()
        prompts = tuple(read(prompt, FOLDED) for prompt in surroundings.system_prompts)
        return NormalisedScan(_LeakScan(_automaton(prompts), overlap_chars), FOLDED)


class _NothingToLeak:
    """A scan for conversations without a system prompt."""

    __slots__ = ("settled",)

    def __init__(self) -> None:
        self.settled = 0

    def push(self, piece: str, *, last: bool, timeout_s: float) -> list[Match]:  # noqa: ARG002 - nothing to do
        """Take the next piece; see `guardrails.window.lanes.Scan`."""
        self.settled += len(piece)
        return []


class _Automaton:
    """A suffix automaton of some texts: walks them all at once, one step a character."""

    __slots__ = ("canaries", "lengths", "links", "steps")

    def __init__(self, texts: tuple[str, ...]) -> None:
        self.steps: list[dict[str, int]] = [{}]
        self.links = [-1]
        self.lengths = [0]
        self.canaries = frozenset(canary for text in texts for canary in _CANARY.findall(text))
        for text in texts:
            last = 0
            for char in text:
                last = self._extend(last, char)

    def _extend(self, last: int, char: str) -> int:
        known = self.steps[last].get(char)
        if known is not None and self.lengths[known] == self.lengths[last] + 1:
            return known
        state = self._new(self.lengths[last] + 1, {})
        at = last
        while at >= 0 and char not in self.steps[at]:
            self.steps[at][char] = state
            at = self.links[at]
        self.links[state] = 0 if at < 0 else self._target(at, char)
        return self.links[state] if known is not None else state

    def _target(self, at: int, char: str) -> int:
        """The state that stands for exactly one more character than `at`; split off if needed."""
        known = self.steps[at][char]
        if self.lengths[known] == self.lengths[at] + 1:
            return known
        clone = self._new(self.lengths[at] + 1, dict(self.steps[known]))
        self.links[clone] = self.links[known]
        self.links[known] = clone
        while at >= 0 and self.steps[at].get(char) == known:
            self.steps[at][char] = clone
            at = self.links[at]
        return clone

    def _new(self, length: int, steps: dict[str, int]) -> int:
        self.steps.append(steps)
        self.links.append(0)
        self.lengths.append(length)
        return len(self.steps) - 1


@functools.lru_cache(maxsize=64)
def _automaton(prompts: tuple[str, ...]) -> _Automaton:
    return _Automaton(prompts)


class _LeakScan:
    """Keeps the longest suffix of the text that occurs in the prompts."""

    __slots__ = (
        "_automaton",
        "_length",
        "_overlap_chars",
        "_position",
        "_run",
        "_state",
        "settled",
    )

    def __init__(self, automaton: _Automaton, overlap_chars: int) -> None:
        self.settled = 0
        self._automaton = automaton
        self._overlap_chars = overlap_chars
        self._position = 0
        self._state = 0
        self._length = 0
        self._run = ""

    def push(self, piece: str, *, last: bool, timeout_s: float) -> list[Match]:  # noqa: ARG002 - linear
        """Take the next piece; see `guardrails.window.lanes.Scan`."""
        found: list[Match] = []
        for char in piece:
            length = self._step(char)
            if length != self._length + 1:
                found += self._ended()
                self._run = self._run[len(self._run) - length + 1 :] if length > 1 else ""
            self._run = self._run + char if length else ""
            self._length = length
            self._position += 1
        if last:
            found += self._ended()
        held = self._length - (_QUIET_CHARS - 1)
        self.settled = self._position - (0 if last else max(0, held))
        return found

    def _step(self, char: str) -> int:
        """Follow the text; return how long its known suffix is now."""
        automaton, state, length = self._automaton, self._state, self._length
        while state and char not in automaton.steps[state]:
            state = automaton.links[state]
            length = automaton.lengths[state]
        following = automaton.steps[state].get(char)
        if following is None:
            self._state = 0
            return 0
        self._state = following
        return length + 1

    def _ended(self) -> list[Match]:
        """The run ended before the current character; what it gives away."""
        begin = self._position - self._length
        if any(canary in self._run for canary in self._automaton.canaries):
            return [self._match(begin, "CANARY", 1.0)]
        if self._length >= self._overlap_chars:
            return [self._match(begin, "SYSTEM_PROMPT", 0.95)]
        return []

    def _match(self, begin: int, category: str, score: float) -> Match:
        return Match(
            start=begin + _QUIET_CHARS - 1,
            end=self._position,
            category=category,
            rule_id=f"leak.{category.lower()}",
            score=score,
        )
