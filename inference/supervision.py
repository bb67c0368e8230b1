"""Whether the engine can be trusted with more calls."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.worker import EngineWorker
    from servicekit.health import Component

__all__ = ["Supervisor"]

_FAILURES = 3
_WITHIN_S = 60.0
_TICK_S = 0.5


class Supervisor:
    """Watches one engine: several failed steps in a minute, or one that hangs, and it is unwell.

    It is well again when a minute has passed without failures and steps end in time.
    """

    def __init__(
        self,
        component: Component,
        *,
        step_limit_s: float,
        reader_limit_s: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Report to this component.

        Args:
            component: what is told.
            step_limit_s: a step that takes longer hangs.
            reader_limit_s: a caller that reads nothing for longer is cancelled.
            now: the clock.
        """
        self._component = component
        self._step_limit_s = step_limit_s
        self._reader_limit_s = reader_limit_s
        self._now = now
        self._failures: deque[float] = deque(maxlen=_FAILURES)

    def note_failure(self) -> None:
        """A step failed."""
        self._failures.append(self._now())

    def check(self, worker: EngineWorker) -> None:
        """Look once."""
        worker.cancel_stalled(self._reader_limit_s)
        self._component.set(not self._fails_often() and worker.step_age_s < self._step_limit_s)

    async def watch(self, worker: EngineWorker) -> None:
        """Look until cancelled."""
        while True:
            self.check(worker)
            await asyncio.sleep(_TICK_S)

    def _fails_often(self) -> bool:
        return len(self._failures) == _FAILURES and self._now() - self._failures[0] < _WITHIN_S
