"""A guard and a model behind circuit breakers."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, TypeVar

from gateway.failure.breaker import BreakerOpenError
from servicekit.errors import DeadlineExceeded, Fault, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterable
    from types import TracebackType

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
        with self._gate.admit():
            return await self._inner.check(request, deadline)

    def watch(
        self, request: Request, deltas: AsyncIterable[str], deadline: Deadline
    ) -> AbstractAsyncContextManager[Watch]:
        """As the guard's; being let in counts as success, what fails later as failure."""
        return _Used(self._gate, self._inner.watch(request, deltas, deadline))


class BreakingModel:
    """Leaves a model alone that keeps failing."""

    def __init__(self, inner: Model, breaker: Breaker, upstream: Upstream) -> None:
        """Wrap this model; `upstream` tells its faults from those of others."""
        self._inner = inner
        self._gate = _Gate(breaker, upstream)

    def generate(
        self, request: Request, deadline: Deadline
    ) -> AbstractAsyncContextManager[Generation]:
        """As the model's; being accepted counts as success, what fails later as failure."""
        return _Used(self._gate, self._inner.generate(request, deadline))


class _Gate:
    """One upstream's breaker, told outcomes in terms of faults."""

    def __init__(self, breaker: Breaker, upstream: Upstream) -> None:
        self._breaker = breaker
        self._upstream = upstream

    def note(self, error: BaseException | None) -> None:
        """What ended a use that had been let in; faults of other parts pass through there too."""
        if isinstance(error, Fault) and error.reason == self._upstream.unavailable_reason:
            self._breaker.note_failure()

    def admit(self) -> _Passing:
        """Let a call pass, which is made inside of what is returned.

        Raises:
            BreakerOpen: not now.
        """
        try:
            return _Passing(self._breaker.admit(), self._upstream)
        except BreakerOpenError as error:
            raise BreakerOpen(
                f"The {self._upstream.name} service is failing and is left alone for now.",
                reason=self._upstream.unavailable_reason,
                retry_after_s=error.retry_after_s,
            ) from None


class _Passing:
    """Around a call; its outcome counts unless it was cancelled or ran out of time."""

    def __init__(self, admitted: Pass, upstream: Upstream) -> None:
        self._admitted = admitted
        self._upstream = upstream

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        match error:
            case None:
                self._admitted.succeeded()
            case Fault() if error.reason == self._upstream.unavailable_reason:
                self._admitted.failed()
            case Fault() if not isinstance(error, DeadlineExceeded):
                self._admitted.succeeded()  # a refusal is an answer
            case _:
                self._admitted.left()


class _Used(AbstractAsyncContextManager[T]):
    """A longer use: entering it is the call, and failing inside is news of failure."""

    def __init__(self, gate: _Gate, use: AbstractAsyncContextManager[T]) -> None:
        self._gate = gate
        self._use = use

    async def __aenter__(self) -> T:
        with self._gate.admit():
            return await self._use.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self._gate.note(error)
        return await self._use.__aexit__(kind, error, traceback)
