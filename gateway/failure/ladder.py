"""What stands in for a guard that is down: the rung of the ladder that a tenant's terms name.

Without one, the guard's fault is the answer: the gateway fails closed. A guard that goes in the
middle of a stream always ends it; nothing takes over half an answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.failure.entrance import Entrance
from gateway.failure.retry import again
from servicekit.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Mapping

    from gateway.answer import CheckedPrompt, Request
    from gateway.pipeline import Guard, Watch
    from gateway.terms import GuardLoss
    from gateway.upstreams import Upstream
    from servicekit.deadline import Deadline

__all__ = ["LadderGuard"]


class LadderGuard:
    """A guard, and what stands in for it."""

    def __init__(self, full: Guard, rungs: Mapping[GuardLoss, Guard], upstream: Upstream) -> None:
        """Prefer `full`; `upstream` tells its faults from those of others."""
        self._full = full
        self._rungs = rungs
        self._upstream = upstream

    async def check(self, request: Request, deadline: Deadline) -> CheckedPrompt:
        """As the guard's."""
        try:
            return await self._full.check(request, deadline)
        except Unavailable as fault:
            return await self._stand_in(request, fault).check(request, deadline)

    def watch(
        self, request: Request, deltas: AsyncIterable[str], deadline: Deadline
    ) -> Entrance[Watch]:
        """As the guard's."""

        async def get_in(entrance: Entrance[Watch]) -> Watch:
            kept = await again(request, deltas)
            try:
                return await entrance.through(self._full.watch(request, kept, deadline))
            except Unavailable as fault:
                rung = self._stand_in(request, fault)
                return await entrance.through(rung.watch(request, kept, deadline))

        return Entrance(get_in)

    def _stand_in(self, request: Request, fault: Unavailable) -> Guard:
        rung = request.terms.guard_loss
        if fault.reason != self._upstream.unavailable_reason or rung is None:
            raise fault
        request.journal.degraded("guardrails", rung.value)
        return self._rungs[rung]
