"""Other models in order, for when the one that was asked for is down."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.failure.entrance import Entrance
from servicekit.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

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

    def generate(self, request: Request, deadline: Deadline) -> Entrance[Generation]:
        """As the model's; the answer says which model it came from, and that it stood in."""
        return Entrance(lambda entrance: self._accepted(entrance, request, deadline))

    async def _accepted(
        self, entrance: Entrance[Generation], request: Request, deadline: Deadline
    ) -> Generation:
        try:
            return await entrance.through(self._first.generate(request, deadline))
        except Unavailable as fault:
            first_fault = fault
        for fallback in self._fallbacks:
            if not request.may_use(fallback.name):
                continue
            other = replace(request, model=fallback.name)
            try:
                generation = await entrance.through(fallback.model.generate(other, deadline))
            except Unavailable:
                continue
            request.journal.degraded("inference", f"fallback:{fallback.name}")
            return generation
        raise first_fault
