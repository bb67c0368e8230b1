"""Admission by queue delay: when the model falls behind, some are refused at once.

The number of requests let through at once follows the time that the model's queue reports: it
grows by one with each request that hardly waited until one waited longer than the target; then it
shrinks by a tenth, and from there on grows by one each round of requests.

Refusing early costs a millisecond; timing out late costs a caller its deadline and the model its
work.
"""

from __future__ import annotations

import time
from contextlib import aclosing
from typing import TYPE_CHECKING

from gateway.terms import Priority
from servicekit.errors import Exhausted

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from gateway.answer import Event, Request
    from gateway.pipeline import Answerer
    from servicekit.deadline import Deadline

__all__ = ["Pressure", "Shedding"]

# The share of the room that each class may fill; what is above it is for the classes above.
_SHARES = {Priority.LOW: 0.7, Priority.NORMAL: 0.9, Priority.HIGH: 1.0}
_SHRINK = 0.9
_SMALLEST = 2.0
# What a gateway that has seen nothing yet lets through.
_FIRST_ROOM = 64
# One long queue is seen by every request in it; shrink for it once.
_SHRINK_EVERY_S = 0.25
_FIRST_GUESS_S = 0.5
# What inference answers when it has no room even to queue.
_QUEUE_FULL = "QUEUE_FULL"


class Pressure:
    """How many requests fit at once."""

    def __init__(
        self,
        *,
        target_delay_s: float,
        most: int,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep the queue's delay near the target, with room for `most` requests at the most."""
        self.room = float(min(most, _FIRST_ROOM))
        self.in_flight = 0
        self._most = float(most)
        self._target_delay_s = target_delay_s
        self._now = now
        self._shrunk_s = -_SHRINK_EVERY_S
        self._has_hurt = False
        self._request_s = _FIRST_GUESS_S

    def admits(self, priority: Priority) -> bool:
        """Whether there is room for one more of this class."""
        return self.in_flight < max(1.0, self.room * _SHARES[priority])

    @property
    def retry_after_s(self) -> float:
        """About when the next request ends."""
        return max(0.01, self._request_s / max(1, self.in_flight))

    def began(self) -> None:
        """One more is under way."""
        self.in_flight += 1

    def ended(self, duration_s: float, *, delay_s: float | None, refused: bool) -> None:
        """One less: it took so long, waited so long in the model's queue, or was refused there."""
        full = self.in_flight >= self.room * _SHARES[Priority.LOW]
        self.in_flight -= 1
        if refused or (delay_s is not None and delay_s > self._target_delay_s):
            self._shrink()
        elif delay_s is not None:
            self._request_s += 0.1 * (duration_s - self._request_s)
            if full:
                step = 1 / self.room if self._has_hurt else 1.0
                self.room = min(self._most, self.room + step)

    def _shrink(self) -> None:
        now_s = self._now()
        if now_s - self._shrunk_s >= _SHRINK_EVERY_S:
            self._shrunk_s, self._has_hurt = now_s, True
            # From where it hurt, not from where it was allowed to go.
            self.room = max(_SMALLEST, min(self.room, self.in_flight + 1.0) * _SHRINK)


class Shedding:
    """Refuses what the model could not begin in good time."""

    def __init__(self, inner: Answerer, pressure: Pressure) -> None:
        """Guard this."""
        self._inner = inner
        self._pressure = pressure

    async def run(self, request: Request, deadline: Deadline) -> AsyncGenerator[Event]:
        """As the pipeline's.

        Raises:
            Exhausted: there is more work than room for this class of requests.
        """
        if not self._pressure.admits(request.terms.priority):
            raise Exhausted(
                "There is more work than room; try again later.",
                reason="OVERLOADED",
                retry_after_s=self._pressure.retry_after_s,
            )
        since_ns = request.journal.now_ns()
        refused = False
        self._pressure.began()
        try:
            async with aclosing(self._inner.run(request, deadline)) as events:
                async for event in events:
                    yield event
        except Exhausted as fault:
            refused = fault.reason == _QUEUE_FULL
            raise
        finally:
            duration_s = (request.journal.now_ns() - since_ns) / 1e9
            self._pressure.ended(duration_s, delay_s=request.journal.queue_s, refused=refused)
