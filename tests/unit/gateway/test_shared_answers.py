"""One generation and several who watch it, each with a deadline of its own."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.answer import FinishReason, Message, Request, Role, Usage
from gateway.cache.answers import CachedModel
from gateway.cache.stores import MemoryStore
from servicekit.deadline import Deadline

REQUEST = Request(
    request_id="r",
    tenant="t",
    model="",
    messages=(Message(role=Role.USER, text="hello"),),
    policy="default",
    conversation_id=None,
    sampling=b"",
    deterministic=True,
)


@dataclass
class Endless:
    """A model that says one word and then thinks."""

    model: str = "m"
    finish_reason: FinishReason = FinishReason.CANCELLED
    usage: Usage = field(default=Usage())
    generations: int = 0

    @asynccontextmanager
    async def generate(self, request, deadline):
        self.generations += 1
        yield self

    async def deltas(self):
        yield "word"
        await asyncio.Event().wait()


class Known:
    """A catalogue that knows every model."""

    def revision(self, model):
        return "1"


async def test_a_shared_answer_ends_at_each_ones_deadline() -> None:
    """The most patient caller does not make the others wait."""
    inner = Endless()
    model = CachedModel(
        inner, store=MemoryStore(max_chars=100), catalogue=Known(), ttl_s=60, keep_cadence=False
    )
    async with model.generate(REQUEST, Deadline.after(600)) as patient:
        assert "word" == await anext(patient.deltas())
        async with model.generate(REQUEST, Deadline.after(0)) as hasty:
            pieces = [piece async for piece in hasty.deltas()]

    assert (["word"], FinishReason.TIME_LIMIT) == (pieces, hasty.finish_reason)
    assert 1 == inner.generations
