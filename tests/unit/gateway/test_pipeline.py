"""The pipeline with a guard and a model made of lists."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from gateway.answer import (
    Action,
    Attestation,
    CheckedPrompt,
    Delta,
    Direction,
    Execution,
    Final,
    Finding,
    FinishReason,
    Message,
    Request,
    Role,
    Started,
    Usage,
)
from gateway.pipeline import Pipeline
from gateway.spoken import Spoken
from servicekit.deadline import Deadline
from servicekit.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.answer import Event


def _finding(direction: Direction, action: Action) -> Finding:
    return Finding(
        detector="pii",
        category="EMAIL",
        start=0,
        end=3,
        score=1.0,
        action=action,
        rule_id="pii.email",
        direction=direction,
    )


@dataclass
class FakeModel:
    pieces: tuple[str, ...] = ("one ", "two ", "three")
    fault: Exception | None = None
    saw: list[Request] = field(default_factory=list)
    stopped: int = 0
    model: str = "fake-1"
    finish_reason: FinishReason = FinishReason.STOP
    usage: Usage = field(default=Usage())
    spoken: Spoken = field(default_factory=Spoken)

    @asynccontextmanager
    async def generate(self, request: Request, deadline: Deadline) -> AsyncIterator[FakeModel]:
        self.saw.append(request)
        try:
            yield self
        finally:
            self.stopped += 1

    async def deltas(self) -> AsyncIterator[str]:
        for count, piece in enumerate(self.pieces, start=1):
            self.usage = Usage(input_tokens=4, output_tokens=count)
            yield piece
        if self.fault:
            raise self.fault


@dataclass
class FakeGuard:
    """Releases what it is given in capitals, so that raw text would show."""

    rewritten: str | None = None
    block_prompt: bool = False
    block_after: int | None = None
    closed: int = 0
    policy_digest: str = "d1"
    buffered: bool = False
    blocked: bool = False
    executions: tuple[Execution, ...] = ()
    attestation: Attestation = field(
        default=Attestation(
            released_chars=0, scanned_chars=0, released_sha256="", policy_digest="d1"
        )
    )

    async def check(self, request: Request, deadline: Deadline) -> CheckedPrompt:
        action = Action.BLOCK if self.block_prompt else Action.REDACT
        return CheckedPrompt(
            blocked=self.block_prompt,
            texts=tuple(self.rewritten or message.text for message in request.messages),
            findings=(_finding(Direction.INPUT, action),)
            if self.rewritten or self.block_prompt
            else (),
            executions=(),
            policy_digest="d1",
        )

    @asynccontextmanager
    async def watch(
        self, request: Request, deltas: AsyncIterator[str], deadline: Deadline
    ) -> AsyncIterator[FakeGuard]:
        self._deltas = deltas
        try:
            yield self
        finally:
            self.closed += 1

    async def events(self) -> AsyncIterator[Delta | Finding]:
        count = 0
        async for text in self._deltas:
            if count == self.block_after:
                self.blocked = True
                yield _finding(Direction.OUTPUT, Action.BLOCK)
                return
            yield Delta(text.upper())
            count += 1


def _request(text: str = "hello") -> Request:
    return Request(
        request_id="req-1",
        tenant="local",
        model="",
        policy="default",
        conversation_id=None,
        messages=(Message(role=Role.USER, text=text),),
        sampling=b"",
    )


def _final(events: list[Event]) -> Final:
    assert isinstance(events[-1], Final)
    return events[-1]


async def _run(guard: FakeGuard, model: FakeModel, text: str = "hello") -> list[Event]:
    pipeline = Pipeline(guard=guard, model=model)
    return [event async for event in pipeline.run(_request(text), Deadline.after(5))]


async def test_only_text_that_the_guard_released_comes_out() -> None:
    """Deltas are the guard's, between one Started and one Final."""
    events = await _run(FakeGuard(), FakeModel())

    assert [Started, Delta, Delta, Delta, Final] == [type(event) for event in events]
    assert ["ONE ", "TWO ", "THREE"] == [e.text for e in events if isinstance(e, Delta)]
    assert FinishReason.STOP is _final(events).finish_reason


async def test_the_model_sees_the_rewritten_prompt_only() -> None:
    """A redacted message replaces the original before generation starts."""
    model = FakeModel()

    events = await _run(FakeGuard(rewritten="mail [EMAIL]"), model, "mail a@b.example")

    assert ["mail [EMAIL]"] == [message.text for message in model.saw[0].messages]
    assert [e.action for e in events if isinstance(e, Finding)] == [Action.REDACT]


async def test_a_blocked_prompt_never_reaches_the_model() -> None:
    """The answer is BLOCKED with the findings, and nothing was generated."""
    model = FakeModel()

    events = await _run(FakeGuard(block_prompt=True), model)

    assert [Started, Finding, Final] == [type(event) for event in events]
    assert FinishReason.BLOCKED is _final(events).finish_reason
    assert [] == model.saw


async def test_a_block_midway_stops_the_model_and_keeps_what_was_released() -> None:
    """What was released before the block stands; the model is left at once."""
    model, guard = FakeModel(), FakeGuard(block_after=1)

    events = await _run(guard, model)

    assert [Started, Delta, Finding, Final] == [type(event) for event in events]
    assert FinishReason.BLOCKED is _final(events).finish_reason
    assert (1, 1) == (model.stopped, guard.closed)


async def test_a_fault_of_the_model_ends_the_answer_without_a_final() -> None:
    """A part that fails midway ends the sequence with its fault, not with a made-up end."""
    events: list[Event] = []
    pipeline = Pipeline(guard=FakeGuard(), model=FakeModel(fault=Unavailable()))

    with pytest.raises(Unavailable):
        async for event in pipeline.run(_request(), Deadline.after(5)):
            events.append(event)

    assert Delta is type(events[-1])


async def test_closing_the_answer_stops_guard_and_model() -> None:
    """A caller that goes away leaves nothing running."""
    model, guard = FakeModel(), FakeGuard()
    pipeline = Pipeline(guard=guard, model=model)

    async with aclosing(pipeline.run(_request(), Deadline.after(5))) as events:
        await anext(events)
        await anext(events)

    assert (1, 1) == (model.stopped, guard.closed)
