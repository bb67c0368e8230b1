"""A second guard is asked when the first takes unusually long; the first answer counts.

Checking a prompt changes nothing, so it may be done twice. Hedges come out of a budget: when the
guard is slow for everyone, doubling its work would make it slower.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from servicekit import names

if TYPE_CHECKING:
    from collections.abc import AsyncIterable
    from collections.abc import Set as AbstractSet
    from contextlib import AbstractAsyncContextManager

    from gateway.answer import CheckedPrompt, Request
    from gateway.failure.retry import Patience
    from gateway.pipeline import Guard, Watch
    from servicekit.deadline import Deadline

__all__ = ["HedgedGuard"]


class HedgedGuard:
    """Asks twice about a prompt when the first answer is late."""

    def __init__(self, inner: Guard, *, after_s: float, patience: Patience) -> None:
        """Wrap this guard, whose channel sends each call to the next replica."""
        self._inner = inner
        self._after_s = after_s
        self._patience = patience

    async def check(self, request: Request, deadline: Deadline) -> CheckedPrompt:
        """As the guard's."""
        calls = {asyncio.create_task(self._inner.check(request, deadline))}
        try:
            done, _ = await asyncio.wait(calls, timeout=self._after_s)
            if not done and self._patience.spend():
                calls.add(asyncio.create_task(self._inner.check(request, deadline)))
                request.journal.begin(names.STEP_GUARD_HEDGE, "sent").end()
            result = await _first_good(calls)
        finally:
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        self._patience.earn()
        return result

    def watch(
        self, request: Request, deltas: AsyncIterable[str], deadline: Deadline
    ) -> AbstractAsyncContextManager[Watch]:
        """As the guard's; an answer is watched by one."""
        return self._inner.watch(request, deltas, deadline)


async def _first_good(calls: AbstractSet[asyncio.Task[CheckedPrompt]]) -> CheckedPrompt:
    """The first result; the error of the last call if none has one."""
    pending = set(calls)
    while True:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for call in done:
            if call.exception() is None or not pending:
                return call.result()
