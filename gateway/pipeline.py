"""The product on one screen: check the prompt, generate, check the answer.

`Generate` and `StreamGenerate` are both this one sequence of events. Nothing reaches the caller
that did not come out of the guard: the model's text goes into `watch` and only what `watch`
releases comes out. If a part fails, its fault ends the sequence; there is no other way around it.
"""

from __future__ import annotations

import hashlib
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from gateway.answer import Attestation, Final, FinishReason, Started, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator
    from contextlib import AbstractAsyncContextManager

    from gateway.answer import CheckedPrompt, Delta, Event, Execution, Finding, Request
    from gateway.spoken import Spoken
    from servicekit.deadline import Deadline

__all__ = [
    "Answerer",
    "Generation",
    "Guard",
    "Model",
    "Pipeline",
    "Watch",
    "blocked",
    "woven",
]


class Pipeline:
    """Guarded generation from a guard and a model."""

    def __init__(self, *, guard: Guard, model: Model) -> None:
        """Use this guard and this model."""
        self._guard = guard
        self._model = model

    async def run(self, request: Request, deadline: Deadline) -> AsyncGenerator[Event]:
        """The answer as it becomes safe: one Started, deltas and findings, one Final.

        Closing the iterator stops the model and the guard.

        Raises:
            Fault: a part refused the request or is down; what was yielded before stands.
        """
        prompt = await self._guard.check(request, deadline)
        if prompt.blocked:
            for event in blocked(request, prompt):
                yield event
            return
        answer = self.answer(request, request.with_texts(prompt.texts), deadline)
        async with aclosing(woven(prompt, answer)) as events:
            async for event in events:
                yield event

    async def answer(
        self, request: Request, safe_request: Request, deadline: Deadline
    ) -> AsyncGenerator[Event]:
        """The checked answer to a prompt, without what was found in the prompt itself."""
        async with (
            self._model.generate(safe_request, deadline) as generation,
            self._guard.watch(request, generation.deltas(), deadline) as watch,
        ):
            yield Started(
                model=generation.model, policy_digest=watch.policy_digest, buffered=watch.buffered
            )
            async for event in watch.events():
                yield event
        yield Final(
            finish_reason=FinishReason.BLOCKED if watch.blocked else generation.finish_reason,
            usage=generation.usage,
            attestation=watch.attestation,
            model=generation.model,
            executions=watch.executions,
            logprobs=generation.spoken.told(watch.attestation.released_sha256),
        )


class Answerer(Protocol):
    """Answers requests: the pipeline, or a layer around it."""

    def run(self, request: Request, deadline: Deadline) -> AsyncGenerator[Event]:
        """The answer as it becomes safe: one Started, deltas and findings, one Final."""


class Watch(Protocol):
    """The guard's view of one answer. All but the first two are known once `events` has ended."""

    policy_digest: str
    buffered: bool
    blocked: bool
    attestation: Attestation
    executions: tuple[Execution, ...]

    def events(self) -> AsyncIterator[Delta | Finding]:
        """Released text and findings in order; ends early when the answer is blocked.

        Raises:
            Fault: the guard is gone, or the model's deltas raised it.
        """


class Guard(Protocol):
    """Judges text."""

    async def check(self, request: Request, deadline: Deadline) -> CheckedPrompt:
        """Check every message of the prompt."""

    def watch(
        self, request: Request, deltas: AsyncIterable[str], deadline: Deadline
    ) -> AbstractAsyncContextManager[Watch]:
        """Check an answer while it is made; entering waits until the policy is known."""


class Generation(Protocol):
    """One answer in the making. `finish_reason` and `usage` hold for what was made so far.

    What was used so far also stands in the request's journal, for when no end ever comes.
    """

    model: str
    finish_reason: FinishReason
    usage: Usage
    spoken: Spoken

    def deltas(self) -> AsyncIterator[str]:
        """The raw text, unchecked: for the guard only."""


class Model(Protocol):
    """Makes text."""

    def generate(
        self, request: Request, deadline: Deadline
    ) -> AbstractAsyncContextManager[Generation]:
        """Start an answer; entering waits until it is accepted, leaving stops it."""


async def woven(prompt: CheckedPrompt, answer: AsyncGenerator[Event]) -> AsyncGenerator[Event]:
    """An answer with what was found in its prompt, right after the beginning and at the end."""
    async with aclosing(answer) as events:
        async for event in events:
            if isinstance(event, Final):
                yield replace(event, executions=prompt.executions + event.executions)
                continue
            yield event
            if isinstance(event, Started):
                for finding in prompt.findings:
                    yield finding


def blocked(request: Request, prompt: CheckedPrompt) -> Iterator[Event]:
    """The answer to a prompt that the policy does not let through."""
    yield Started(model=request.model, policy_digest=prompt.policy_digest)
    yield from prompt.findings
    yield Final(
        finish_reason=FinishReason.BLOCKED,
        usage=Usage(),
        attestation=Attestation(
            released_chars=0,
            scanned_chars=0,
            released_sha256=hashlib.sha256(b"").hexdigest(),
            policy_digest=prompt.policy_digest,
        ),
        model=request.model,
        executions=prompt.executions,
    )
