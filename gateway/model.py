"""The model behind the gateway: `gateway.pipeline.Model` over the inference service."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc

from gateway.answer import FinishReason, Usage
from gateway.spoken import Spoken, TokenLogprob
from gateway.upstreams import Upstream
from vedette.inference.v1 import inference_pb2 as pb
from vedette.inference.v1 import inference_pb2_grpc as stubs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from gateway.answer import Request
    from servicekit.channels import TracedChannel
    from servicekit.deadline import Deadline

__all__ = ["RemoteModel"]

# What inference is not given of the caller's time: enough to check and send the last of an answer
# that it cut short, so that the caller gets FINISH_REASON_TIME_LIMIT rather than nothing.
_MARGIN_S = 0.1


class RemoteModel:
    """Generates by calling the inference service."""

    def __init__(self, channel: TracedChannel) -> None:
        """Call it over this channel."""
        self._stub = stubs.InferenceServiceStub(channel)
        self.upstream = Upstream("inference")

    @asynccontextmanager
    async def generate(
        self, request: Request, deadline: Deadline
    ) -> AsyncIterator[RemoteGeneration | WholeGeneration]:
        """Start an answer; leaving cancels what is left of it.

        An answer that nobody reads along is asked for in one piece: carrying its tokens one by
        one would cost more than the rest of the gateway.
        """
        if not request.streamed:
            yield await self._whole(request, deadline)
            return
        call = self._stub.StreamGenerate(
            _to_proto(request), timeout=deadline.remaining_s(margin_s=_MARGIN_S)
        )
        try:
            generation = await RemoteGeneration.started(call, self.upstream, request, deadline)
            yield generation
            await generation.hear_out()
        finally:
            call.cancel()

    async def _whole(self, request: Request, deadline: Deadline) -> WholeGeneration:
        try:
            response = await self._stub.Generate(
                _to_whole_proto(request), timeout=deadline.remaining_s(margin_s=_MARGIN_S)
            )
        except grpc.aio.AioRpcError as error:
            raise self.upstream.fault(error, deadline) from error
        generation = WholeGeneration(
            text=response.text,
            model=response.model,
            finish_reason=FinishReason(response.finish_reason),
            usage=_usage(response.usage),
        )
        if request.with_logprobs:
            generation.spoken.add(response.text, _tokens(response.logprobs))
        request.journal.usage, request.journal.model = generation.usage, generation.model
        request.journal.queue_s = _queue_s(response.timings)
        return generation

    async def count_tokens(self, request: Request, deadline: Deadline) -> pb.CountTokensResponse:
        """Count the tokens of the messages."""
        prompt = pb.CountTokensRequest(model=request.model, messages=_messages(request))
        try:
            return await self._stub.CountTokens(
                prompt,
                timeout=deadline.remaining_s(margin_s=_MARGIN_S),
            )
        except grpc.aio.AioRpcError as error:
            raise self.upstream.fault(error, deadline) from error

    async def count(self, request: Request, deadline: Deadline) -> int:
        """How many tokens the messages have.

        Raises:
            Fault: inference refused the request or is down.
        """
        return (await self.count_tokens(request, deadline)).input_tokens


@dataclass(slots=True, kw_only=True)
class WholeGeneration:
    """An answer that came in one piece."""

    text: str
    model: str
    finish_reason: FinishReason
    usage: Usage
    spoken: Spoken = field(default_factory=Spoken)

    async def deltas(self) -> AsyncIterator[str]:
        """The raw text; unchecked."""
        if self.text:
            yield self.text


class RemoteGeneration:
    """One call of inference's StreamGenerate."""

    def __init__(
        self,
        call: grpc.aio.UnaryStreamCall[pb.StreamGenerateRequest, pb.StreamGenerateResponse],
        upstream: Upstream,
        request: Request,
        deadline: Deadline,
    ) -> None:
        """Read this call; `started` does so up to its first event."""
        self.model = ""
        self.finish_reason = FinishReason.CANCELLED
        self.usage = Usage()
        self.spoken = Spoken()
        self._with_logprobs = request.with_logprobs
        self._journal = request.journal
        self._call = call
        self._upstream = upstream
        self._deadline = deadline
        self._finished = False

    @classmethod
    async def started(
        cls,
        call: grpc.aio.UnaryStreamCall[pb.StreamGenerateRequest, pb.StreamGenerateResponse],
        upstream: Upstream,
        request: Request,
        deadline: Deadline,
    ) -> RemoteGeneration:
        """Wait until inference accepts the request.

        Raises:
            Fault: it does not.
        """
        generation = cls(call, upstream, request, deadline)
        first = await generation._read()
        generation.model = first.started.model
        generation.usage = Usage(input_tokens=first.started.input_tokens)
        request.journal.usage, request.journal.model = generation.usage, generation.model
        return generation

    async def deltas(self) -> AsyncIterator[str]:
        """The raw text, piece by piece; unchecked."""
        while True:
            event = await self._read()
            if event.HasField("final"):
                self._finish(event.final)
                return
            self._count(event.delta.output_tokens)
            if self._with_logprobs:
                self.spoken.add(event.delta.text, _tokens(event.delta.logprobs))
            if event.delta.text:
                yield event.delta.text

    async def hear_out(self) -> None:
        """Let a finished call end by itself: one left early is cancelled, in every trace too."""
        if self._finished:
            with suppress(grpc.aio.AioRpcError):  # the answer is in; how the call ends is not news
                await self._call.read()

    async def _read(self) -> pb.StreamGenerateResponse:
        try:
            event = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise self._upstream.fault(error, self._deadline) from error
        if not isinstance(event, pb.StreamGenerateResponse):
            raise self._upstream.unavailable()  # it ended without its last event
        return event

    def _count(self, output_tokens: int) -> None:
        self.usage = Usage(
            input_tokens=self.usage.input_tokens,
            output_tokens=self.usage.output_tokens + output_tokens,
        )
        self._journal.usage = self.usage

    def _finish(self, final: pb.Final) -> None:
        self._finished = True
        self.finish_reason = FinishReason(final.finish_reason)
        self.usage = _usage(final.usage)
        self._journal.usage = self.usage
        self._journal.queue_s = _queue_s(final.timings)


def _queue_s(timings: pb.Timings) -> float | None:
    return timings.queue.ToNanoseconds() / 1e9 if timings.HasField("queue") else None


def _tokens(entries: Iterable[pb.TokenLogprob]) -> Iterator[TokenLogprob]:
    return (TokenLogprob(each.token_id, each.token, each.logprob) for each in entries)


def _usage(usage: pb.Usage) -> Usage:
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_tokens=usage.cached_tokens,
    )


def _to_proto(request: Request) -> pb.StreamGenerateRequest:
    return pb.StreamGenerateRequest(
        model=request.model,
        messages=_messages(request),
        sampling=_sampling(request),
        tenant=request.tenant,
        priority=request.terms.priority.value,  # type: ignore[arg-type]
    )


def _to_whole_proto(request: Request) -> pb.GenerateRequest:
    return pb.GenerateRequest(
        model=request.model,
        messages=_messages(request),
        sampling=_sampling(request),
        tenant=request.tenant,
        priority=request.terms.priority.value,  # type: ignore[arg-type]
    )


def _messages(request: Request) -> list[pb.Message]:
    return [
        pb.Message(role=message.role.value, text=message.text)  # type: ignore[arg-type]
        for message in request.messages
    ]


def _sampling(request: Request) -> pb.Sampling:
    # The two contracts declare Sampling alike; a test holds them to it.
    sampling = pb.Sampling.FromString(request.sampling)
    if request.max_new_tokens is not None:
        sampling.max_new_tokens = request.max_new_tokens
    return sampling
