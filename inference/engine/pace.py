"""How fast the engine has been of late, and what cannot be done in a given time.

Refusing work that would have been done is worse than doing work in vain, so everything here errs
on the side of hope: times are the best that were seen, and halved. What was seen too seldom or
too long ago counts as unknown, and the unknown takes no time at all; so a wrong estimate cannot
last by keeping away the very requests that would correct it.
"""

from __future__ import annotations

from collections import defaultdict

__all__ = ["Pace"]

# Better than the best of late by this factor, and what is asked may yet be possible.
_HOPE = 2.0
# A best time is forgotten by this much with each later one of its kind.
_FORGETTING = 1.01
# A time counts when it was seen this often, and for this long after it was seen last.
_MIN_SEEN = 4
_FRESH_S = 30.0
# Of what is known about the queue, each step forgets this share: answers that began together
# also end together, hundreds of steps later.
_QUEUE_FORGETTING = 0.001


class Pace:
    """Learns from each step of one engine. Times are on the engine's clock."""

    def __init__(self, *, max_step_tokens: int) -> None:
        """Know nothing; `max_step_tokens` is the most that a step computes."""
        self._max_step_tokens = max_step_tokens
        self._decode = _Best()
        self._token = defaultdict[int, _Best](_Best)  # by the bits of a step's prompt tokens
        self._queue = _Queue()

    def note_step(self, now_s: float, seconds: float, *, decoding: int, prompt_tokens: int) -> None:
        """A step took so long for so many answers and so many tokens of prompts."""
        if decoding:
            self._decode.note(now_s, seconds)
        if prompt_tokens:
            self._token[prompt_tokens.bit_length()].note(now_s, seconds / prompt_tokens)

    def note_queue(self, now_s: float, seconds: float, *, left: int) -> None:
        """While sequences were waiting, so many of them left the queue in so long."""
        self._queue.note(now_s, seconds, left)

    def least_s(self, now_s: float, *, prompt_tokens: int, new_tokens: int) -> float:
        """Seconds below which an idle engine cannot compute a prompt and so many new tokens.

        Steps with fewer prompt tokens say nothing: a token costs less the more there are of them.
        """
        bits = min(prompt_tokens, self._max_step_tokens).bit_length()
        known = [best.at(now_s) for seen, best in self._token.items() if seen >= bits]
        prompt_s = prompt_tokens * min(filter(None, known), default=0.0)
        return (prompt_s + (new_tokens - 1) * self._decode.at(now_s)) / _HOPE

    def least_wait_s(self, now_s: float, *, places: int) -> float:
        """Seconds below which so many sequences do not leave the queue."""
        return places * self._queue.seconds_each(now_s) / _HOPE


class _Best:
    """The shortest of some times, forgotten slowly."""

    def __init__(self) -> None:
        self._best_s = float("inf")
        self._seen = 0
        self._last_s = 0.0

    def note(self, now_s: float, seconds: float) -> None:
        self._best_s = min(self._best_s * _FORGETTING, seconds)
        self._seen += 1
        self._last_s = now_s

    def at(self, now_s: float) -> float:
        known = self._seen >= _MIN_SEEN and now_s - self._last_s <= _FRESH_S
        return self._best_s if known else 0.0


class _Queue:
    """How long it takes until one more sequence leaves the queue."""

    def __init__(self) -> None:
        self._left = 0.0
        self._waited_s = 0.0
        self._last_s = 0.0

    def note(self, now_s: float, seconds: float, left: int) -> None:
        if now_s - self._last_s > _FRESH_S:
            self._left = self._waited_s = 0.0
        self._left += left - self._left * _QUEUE_FORGETTING
        self._waited_s += seconds - self._waited_s * _QUEUE_FORGETTING
        self._last_s = now_s

    def seconds_each(self, now_s: float) -> float:
        known = self._left >= _MIN_SEEN and now_s - self._last_s <= _FRESH_S
        return self._waited_s / self._left if known else 0.0
