"""Generation that begins while the prompt is still being checked.

Where the policy does not rewrite prompts, the model can start at once; its answer goes through
the guard's watch as ever and is held here until the verdict. If the prompt is fine, the check has
cost no time; if it is blocked, the work was wasted, nobody sees it, and the tenant does not pay
for it. When too much is blocked, prompts are checked first again.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from gateway.pipeline import blocked, woven
from servicekit import names

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from gateway.answer import Event, Request
    from gateway.catalogue import Catalogue
    from gateway.pipeline import Guard, Pipeline
    from servicekit.deadline import Deadline

__all__ = ["Speculative", "Waste"]


class Waste:
    """The share of prompts that are blocked, of late; decides whether to begin early."""

    def __init__(self, *, most: float, memory: float = 0.02) -> None:
        """Begin early while at most this share is blocked."""
        self.share = 0.0
        self._most = most
        self._memory = memory

    @property
    def tolerable(self) -> bool:
        """Whether beginning early is worth it."""
        return self.share <= self._most

    def note(self, *, was_blocked: bool) -> None:
        """One more prompt was judged, whether or not its answer had been begun."""
        self.share += self._memory * (was_blocked - self.share)


class Speculative:
    """The pipeline, with the prompt's check beside the generation where that is sound."""

    def __init__(
        self, pipeline: Pipeline, guard: Guard, *, catalogue: Catalogue, waste: Waste
    ) -> None:
        """Run this pipeline's answers ahead of this guard's verdict."""
        self._pipeline = pipeline
        self._guard = guard
        self._catalogue = catalogue
        self._waste = waste

    def run(self, request: Request, deadline: Deadline) -> AsyncGenerator[Event]:
        """As the pipeline's."""
        policy = self._catalogue.policy(request.policy)
        sound = request.streamed and policy is not None and not policy.rewrites_input
        return (self._ahead if sound and self._waste.tolerable else self._after)(request, deadline)

    async def _after(self, request: Request, deadline: Deadline) -> AsyncGenerator[Event]:
        async with aclosing(self._pipeline.run(request, deadline)) as events:
            async for event in events:
                yield event
        verdicts = [s.outcome for s in request.journal.steps if s.name == names.STEP_GUARD_INPUT]
        if verdicts:
            self._waste.note(was_blocked=verdicts[-1] == "blocked")

    async def _ahead(self, request: Request, deadline: Deadline) -> AsyncGenerator[Event]:
        journal = request.journal
        held: asyncio.Queue[Event | None] = asyncio.Queue()
        answering = asyncio.create_task(self._hold(request, deadline, held))
        try:
            prompt = await self._guard.check(request, deadline)
            self._waste.note(was_blocked=prompt.blocked)
            # A policy that was exchanged a moment ago may rewrite after all.
            as_sent = tuple(message.text for message in request.messages)
            if prompt.blocked or prompt.texts != as_sent:
                await _stopped(answering)
                journal.wasted_tokens = journal.usage.output_tokens if journal.usage else 0
                journal.usage, journal.model = None, ""
            if prompt.blocked:
                for event in blocked(request, prompt):
                    yield event
                return
            safe = request.with_texts(prompt.texts)
            source = (
                _drained(held, answering)
                if prompt.texts == as_sent
                else self._pipeline.answer(request, safe, deadline)
            )
            async with aclosing(woven(prompt, source)) as events:
                async for event in events:
                    yield event
        finally:
            await _stopped(answering)

    async def _hold(
        self, request: Request, deadline: Deadline, held: asyncio.Queue[Event | None]
    ) -> None:
        try:
            answer = self._pipeline.answer(request, request, deadline)
            async with aclosing(answer) as events:
                async for event in events:
                    held.put_nowait(event)
        finally:
            held.put_nowait(None)


async def _drained(
    held: asyncio.Queue[Event | None], answering: asyncio.Task[None]
) -> AsyncGenerator[Event]:
    """What was held, then what comes; the answer's fault where it came."""
    while (event := await held.get()) is not None:
        yield event
    await answering


async def _stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # seen; whoever drained it has raised it
