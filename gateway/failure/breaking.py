"""A guard and a model behind circuit breakers."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, TypeVar

from gateway.failure.breaker import BreakerOpenError
from servicekit.errors import DeadlineExceeded, Fault, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractAsyncContextManager

    from gateway.answer import CheckedPrompt, Request
    from gateway.failure.breaker import Breaker, Pass
    from gateway.pipeline import Generation, Guard, Model, Watch
    from gateway.upstreams import Upstream
    from servicekit.deadline import Deadline

T = TypeVar("T")

__all__ = ["BreakerOpen", "BreakingGuard", "BreakingModel"]


class BreakerOpen(Unavailable):
    """A part is left alone for now; asking again at once is of no use."""


class BreakingGuard:
    """Leaves a guard alone that keeps failing."""

    def __init__(self, inner: Guard, breaker: Breaker, upstream: Upstream) -> None:
        """Wrap this guard; `upstream` tells its faults from those of others."""
        self._inner = inner
        self._gate = _Gate(breaker, upstream)

    async def check(self, request: Request, deadline: Deadline) -> CheckedPrompt:
        """As the guard's."""
        with self._gate.passing():
            return await self._inner.check(request, deadline)

    @asynccontextmanager
    async def watch(
        self, request: Request, deltas: AsyncIterator[str], deadline: Deadline
    ) -> AsyncIterator[Watch]:
        """As the guard's; being let in counts as success, what fails later as failure."""
        async with self._gate.entered(self._inner.watch(request, deltas, deadline)) as watch:
            yield watch


class BreakingModel:
    """Leaves a model alone that keeps failing."""

    def __init__(self, inner: Model, breaker: Breaker, upstream: Upstream) -> None:
        """Wrap this model; `upstream` tells its faults from those of others."""
        self._inner = inner
        self._gate = _Gate(breaker, upstream)

    @asynccontextmanager
    async def generate(self, request: Request, deadline: Deadline) -> AsyncIterator[Generation]:
        """As the model's; being accepted counts as success, what fails later as failure."""
        async with self._gate.entered(self._inner.generate(request, deadline)) as generation:
            yield generation


class _Gate:
    """One upstream's breaker, told outcomes in terms of faults."""

    def __init__(self, breaker: Breaker, upstream: Upstream) -> None:
        self._breaker = breaker
        self._upstream = upstream

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Around a call; its outcome counts unless it was cancelled or ran out of time."""
        admitted = self._admit()
        try:
            yield
        except Fault as fault:
            if fault.reason == self._upstream.unavailable_reason:
                admitted.failed()
            elif isinstance(fault, DeadlineExceeded):
                admitted.left()
            else:
                admitted.succeeded()  # a refusal is an answer
            raise
        except BaseException:
            admitted.left()
            raise
        admitted.succeeded()

    @asynccontextmanager
    async def entered(self, entering: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
        """Around a longer use: entering it is the call, and failing inside is news of failure."""
        async with AsyncExitStack() as stack:
            with self.passing():
                value = await stack.enter_async_context(entering)
            try:
                yield value
            except Fault as fault:
                # Faults of other parts pass through here too.
                if fault.reason == self._upstream.unavailable_reason:
                    self._breaker.note_failure()
                raise

    def _admit(self) -> Pass:
        try:
            return self._breaker.admit()
        except BreakerOpenError as error:
            raise BreakerOpen(
                f"The {self._upstream.name} service is failing and is left alone for now.",
                reason=self._upstream.unavailable_reason,
                retry_after_s=error.retry_after_s,
            ) from None
