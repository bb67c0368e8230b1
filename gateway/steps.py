"""A guard and a model whose work is noted in the request's journal, step by step."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, TypeVar

from servicekit import names

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable
    from types import TracebackType

    from gateway.answer import CheckedPrompt, Request
    from gateway.journal import OpenStep
    from gateway.pipeline import Generation, Guard, Model, Watch
    from servicekit.deadline import Deadline

__all__ = ["NotedGuard", "NotedModel"]

T = TypeVar("T")
_UNFINISHED = "unfinished"


class NotedGuard:
    """Notes how long its guard took over a prompt and over an answer, and what it said."""

    def __init__(self, inner: Guard) -> None:
        """Note what this one does."""
        self._inner = inner

    async def check(self, request: Request, deadline: Deadline) -> CheckedPrompt:
        """As the guard's."""
        with request.journal.begin(names.STEP_GUARD_INPUT, _UNFINISHED) as step:
            prompt = await self._inner.check(request, deadline)
            step.outcome = "blocked" if prompt.blocked else "allowed"
            return prompt

    def watch(
        self, request: Request, deltas: AsyncIterable[str], deadline: Deadline
    ) -> AbstractAsyncContextManager[Watch]:
        """As the guard's."""
        step = request.journal.begin(names.STEP_GUARD_OUTPUT, _UNFINISHED)
        watching = self._inner.watch(request, deltas, deadline)
        return _Noted(step, watching, lambda watch: "blocked" if watch.blocked else "allowed")


class NotedModel:
    """Notes how long its model took, and why it ended."""

    def __init__(self, inner: Model) -> None:
        """Note what this one does."""
        self._inner = inner

    def generate(
        self, request: Request, deadline: Deadline
    ) -> AbstractAsyncContextManager[Generation]:
        """As the model's."""
        step = request.journal.begin(names.STEP_INFERENCE, _UNFINISHED)
        generating = self._inner.generate(request, deadline)
        return _Noted(
            step,
            generating,
            lambda generation: generation.finish_reason.name.lower(),
            at_once=not request.streamed,
        )


class _Noted(AbstractAsyncContextManager[T]):
    """A use of a part as one step; what is called on entering is below it.

    It is over when the use is, or `at_once` when entering was all there is to it.
    """

    def __init__(
        self,
        step: OpenStep,
        use: AbstractAsyncContextManager[T],
        outcome: Callable[[T], str],
        *,
        at_once: bool = False,
    ) -> None:
        self._step = step
        self._use = use
        self._outcome = outcome
        self._at_once = at_once

    async def __aenter__(self) -> T:
        self._step.enter()
        try:
            self._value = await self._use.__aenter__()
        except BaseException:
            self._step.end()
            raise
        finally:
            self._step.leave()
        if self._at_once:
            self._step.end(self._outcome(self._value))
        return self._value

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self._step.end(self._outcome(self._value) if error is None else "")
        return await self._use.__aexit__(kind, error, traceback)
