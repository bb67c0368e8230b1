"""Other models in order, for when the one that was asked for is down."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from servicekit.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from gateway.answer import Request
    from gateway.pipeline import Generation, Model
    from servicekit.deadline import Deadline

__all__ = ["Fallback", "FallbackModel"]


@dataclass(frozen=True, slots=True)
class Fallback:
    """A model that may stand in, and where it is."""

    name: str
    model: Model


class FallbackModel:
    """The model that was asked for, or the first of the others that accepts."""

    def __init__(self, first: Model, fallbacks: Sequence[Fallback]) -> None:
        """Try these in order; callers that may not use one are not given it."""
        self._first = first
        self._fallbacks = tuple(fallbacks)

    @asynccontextmanager
    async def generate(self, request: Request, deadline: Deadline) -> AsyncIterator[Generation]:
        """As the model's; the answer says which model it came from, and that it stood in."""
        async with AsyncExitStack() as stack:
            yield await self._accepted(stack, request, deadline)

    async def _accepted(
        self, stack: AsyncExitStack, request: Request, deadline: Deadline
    ) -> Generation:
        try:
            return await stack.enter_async_context(self._first.generate(request, deadline))
        except Unavailable as fault:
            first_fault = fault
        for fallback in self._fallbacks:
            if not request.may_use(fallback.name):
                continue
            other = replace(request, model=fallback.name)
            try:
                generation = await stack.enter_async_context(
                    fallback.model.generate(other, deadline)
                )
            except Unavailable:
                continue
            request.journal.degraded("inference", f"fallback:{fallback.name}")
            return generation
        raise first_fault
