"""The guard behind the gateway: `gateway.pipeline.Guard` over the guardrails service."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import grpc

from gateway import guard_messages as messages
from gateway.answer import Attestation, CheckedPrompt, Delta, Direction, Execution, Finding
from gateway.upstreams import Upstream
from servicekit.deadline import Deadline
from vedette.guardrails.v1 import guardrails_pb2 as pb
from vedette.guardrails.v1 import guardrails_pb2_grpc as stubs

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator

    from gateway.answer import Request
    from servicekit.channels import TracedChannel

    _Call: TypeAlias = grpc.aio.StreamStreamCall[
        pb.StreamCheckTextRequest, pb.StreamCheckTextResponse
    ]

__all__ = ["RemoteGuard"]

# What guardrails is not given of the caller's time: enough to send its verdict on.
_MARGIN_S = 0.05
# Of the caller's time, what checking the prompt may take.
_CHECK_SHARE = 0.5


class RemoteGuard:
    """Checks by calling the guardrails service."""

    def __init__(self, channel: TracedChannel, *, check_timeout_s: float) -> None:
        """Call it over this channel; give a prompt's check this long at most."""
        self._stub = stubs.GuardrailsServiceStub(channel)
        self._check_timeout_s = check_timeout_s
        self.upstream = Upstream("guardrails", renamed_fields={"segments[": "messages["})

    async def check(self, request: Request, deadline: Deadline) -> CheckedPrompt:
        """Check every message of the prompt.

        Raises:
            Fault: guardrails refused the request or is down.
        """
        # The rest of the time belongs to the answer.
        share_s = deadline.remaining_s(margin_s=_MARGIN_S) * _CHECK_SHARE
        within = Deadline.after(min(share_s, self._check_timeout_s))
        return messages.to_prompt(
            await self._judge(messages.prompt_check(request), deadline, within)
        )

    @asynccontextmanager
    async def watch(
        self, request: Request, deltas: AsyncIterable[str], deadline: Deadline
    ) -> AsyncIterator[RemoteWatch | WholeWatch]:
        """Check an answer while it is made; leaving cancels what is left of the check.

        An answer that nobody reads along is checked in one piece. The verdict is the same:
        guardrails promises that for every text.
        """
        if not request.streamed:
            text = "".join([delta async for delta in deltas])
            within = Deadline(deadline.at_s - _MARGIN_S)
            yield WholeWatch.of(
                await self._judge(messages.answer_check(request, text), deadline, within)
            )
            return
        call = self._stub.StreamCheckText(timeout=deadline.remaining_s(margin_s=_MARGIN_S))
        watch = RemoteWatch(call, self.upstream, deadline)
        try:
            await watch.open(messages.stream_config(request))
            feeding = asyncio.create_task(watch.feed(deltas))
            try:
                yield watch
            finally:
                feeding.cancel()
                await asyncio.wait({feeding})
        finally:
            call.cancel()

    async def _judge(
        self, text: pb.CheckTextRequest, deadline: Deadline, within: Deadline
    ) -> pb.CheckTextResponse:
        try:
            return await self._stub.CheckText(text, timeout=within.remaining_s())
        except grpc.aio.AioRpcError as error:
            raise self.upstream.fault(error, deadline) from error


@dataclass(slots=True, kw_only=True)
class WholeWatch:
    """An answer that was checked in one piece."""

    text: str
    findings: tuple[Finding, ...]
    blocked: bool
    attestation: Attestation
    executions: tuple[Execution, ...]
    policy_digest: str
    buffered: bool = True

    @classmethod
    def of(cls, response: pb.CheckTextResponse) -> WholeWatch:
        """What guardrails made of the answer."""
        (segment,) = response.segments
        return cls(
            text=segment.text,
            findings=tuple(
                messages.to_finding(finding, Direction.OUTPUT) for finding in segment.findings
            ),
            blocked=response.action == pb.ACTION_BLOCK,
            attestation=messages.to_attestation(response.attestation),
            executions=messages.to_executions(response.executions, Direction.OUTPUT),
            policy_digest=response.policy_digest,
        )

    async def events(self) -> AsyncIterator[Delta | Finding]:
        """What may be shown, and what was found."""
        if self.text:
            yield Delta(self.text)
        for finding in self.findings:
            yield finding


class RemoteWatch:
    """One call of StreamCheckText: a task feeds the answer in, `events` reads what comes out."""

    def __init__(self, call: _Call, upstream: Upstream, deadline: Deadline) -> None:
        """Talk over this call."""
        self.policy_digest = ""
        self.buffered = False
        self.blocked = False
        self.attestation = Attestation(
            released_chars=0, scanned_chars=0, released_sha256="", policy_digest=""
        )
        self.executions: tuple[Execution, ...] = ()
        self._call = call
        self._upstream = upstream
        self._deadline = deadline
        self._feed_fault: Exception | None = None

    async def open(self, config: pb.StreamCheckTextConfig) -> None:
        """Name the policy and wait until guardrails has it.

        Raises:
            Fault: guardrails refused the request or is down.
        """
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the read says why
            await self._call.write(pb.StreamCheckTextRequest(config=config))
        started = (await self._read()).started
        self.policy_digest = started.policy_digest
        self.buffered = started.buffered

    async def feed(self, deltas: AsyncIterable[str]) -> None:
        """Pass the answer to guardrails; a fault of the model ends the check."""
        try:
            async for text in deltas:
                await self._call.write(pb.StreamCheckTextRequest(text=text))
            await self._call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # guardrails ended the call: after a block, or it is gone; the reader knows
        except Exception as error:  # noqa: BLE001 - raised again by the reader
            self._feed_fault = error
            self._call.cancel()

    async def events(self) -> AsyncGenerator[Delta | Finding]:
        """Released text and findings in order; ends early when the answer is blocked.

        Raises:
            Fault: guardrails is gone, or the model failed.
        """
        while True:
            response = await self._read()
            match response.WhichOneof("event"):
                case "release":
                    yield Delta(response.release.text)
                case "finding":
                    yield messages.to_finding(response.finding, Direction.OUTPUT)
                case "final":
                    self._finish(response.final)
                    if not self.blocked:  # after a block guardrails waits for us to leave
                        await self._hear_out()
                    return

    async def _hear_out(self) -> None:
        """Let the call end by itself: one that is left early is cancelled, in every trace too."""
        with suppress(grpc.aio.AioRpcError):  # the verdict is in; how the call ends is not news
            await self._call.read()

    async def _read(self) -> pb.StreamCheckTextResponse:
        try:
            response = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise self._fault(error) from error
        except asyncio.CancelledError:
            # Our own cancel of the call after a fault of the model reads like a cancelled task.
            if self._feed_fault is None:
                raise
            raise self._feed_fault from None
        if not isinstance(response, pb.StreamCheckTextResponse):
            raise self._upstream.unavailable()  # it ended without its last event
        return response

    def _fault(self, error: grpc.aio.AioRpcError) -> Exception:
        return self._feed_fault or self._upstream.fault(error, self._deadline)

    def _finish(self, final: pb.StreamCheckTextFinal) -> None:
        self.blocked = final.action == pb.ACTION_BLOCK
        self.executions = messages.to_executions(final.executions, Direction.OUTPUT)
        self.attestation = messages.to_attestation(final.attestation)
