"""Another try where nothing has been sent yet: with jitter, in time, and within a retry budget."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from gateway.failure.breaking import BreakerOpen
from gateway.failure.entrance import Entrance
from servicekit.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable

    from gateway.answer import CheckedPrompt, Request
    from gateway.pipeline import Generation, Guard, Model, Watch
    from servicekit.deadline import Deadline

__all__ = ["Patience", "Retry", "RetryingGuard", "RetryingModel", "again"]

T = TypeVar("T")


@dataclass(slots=True)
class Patience:
    """How many retries are in hand: each success earns a share of one, up to a few.

    When everything fails, retries end after the few in hand instead of multiplying the load.
    """

    most: float = 10.0
    earned_by_success: float = 0.1
    in_hand: float = field(default=10.0)

    def earn(self) -> None:
        """A call succeeded."""
        self.in_hand = min(self.most, self.in_hand + self.earned_by_success)

    def spend(self) -> bool:
        """Take one retry, if there is one."""
        if self.in_hand < 1:
            return False
        self.in_hand -= 1
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When to try again."""

    patience: Patience
    attempts: int = 3
    base_s: float = 0.02
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random

    async def call(self, attempt: Callable[[], Awaitable[T]], deadline: Deadline) -> T:
        """The first result of some attempts.

        Raises:
            Fault: the last attempt's, or the first that another attempt would not help.
        """
        for number in range(1, self.attempts + 1):
            try:
                result = await attempt()
            except BreakerOpen:
                raise
            except Unavailable:
                # Full jitter: callers that failed together do not come back together.
                pause_s = self.random() * self.base_s * 2**number
                out_of_time = deadline.remaining_s() <= pause_s
                if number == self.attempts or out_of_time or not self.patience.spend():
                    raise
                await self.sleep(pause_s)
            else:
                self.patience.earn()
                return result
        raise AssertionError("the last attempt returns or raises")


class RetryingGuard:
    """Asks a guard again that was not there."""

    def __init__(self, inner: Guard, retry: Retry) -> None:
        """Wrap this guard."""
        self._inner = inner
        self._retry = retry

    async def check(self, request: Request, deadline: Deadline) -> CheckedPrompt:
        """As the guard's."""
        return await self._retry.call(lambda: self._inner.check(request, deadline), deadline)

    def watch(
        self, request: Request, deltas: AsyncIterable[str], deadline: Deadline
    ) -> Entrance[Watch]:
        """As the guard's; once it watches, there is no other try."""

        async def get_in(entrance: Entrance[Watch]) -> Watch:
            kept = await again(request, deltas)
            return await self._retry.call(
                lambda: entrance.through(self._inner.watch(request, kept, deadline)), deadline
            )

        return Entrance(get_in)


class RetryingModel:
    """Asks a model again that was not there."""

    def __init__(self, inner: Model, retry: Retry) -> None:
        """Wrap this model."""
        self._inner = inner
        self._retry = retry

    def generate(self, request: Request, deadline: Deadline) -> Entrance[Generation]:
        """As the model's; once it has accepted, there is no other try."""
        return Entrance(
            lambda entrance: self._retry.call(
                lambda: entrance.through(self._inner.generate(request, deadline)), deadline
            )
        )


async def again(request: Request, deltas: AsyncIterable[str]) -> AsyncIterable[str]:
    """Deltas that several attempts can watch.

    A whole answer is consumed by the attempt, so it is kept. A streamed one is not touched before
    the attempt has succeeded, so it is passed on as it is.
    """
    if request.streamed or isinstance(deltas, _Kept):
        return deltas
    return _Kept([delta async for delta in deltas])


class _Kept(list[str]):
    async def __aiter__(self) -> AsyncIterator[str]:
        for delta in self:
            yield delta
