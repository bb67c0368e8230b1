"""The inference service: the contract on one side, the engine on the other, no logic between."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from inference import translate
from inference.catalogue import NotReadyError, UnknownModelError
from inference.engine.guide import ConstraintError
from inference.engine.request import FinishReason, Grammar, JsonSchema, Regex
from inference.models.chat import PromptTooLongError, TemplateRefusedError
from inference.worker import BusyError, RefusedError
from servicekit.deadline import Deadline
from servicekit.errors import (
    DeadlineExceeded,
    Exhausted,
    Fault,
    Internal,
    InvalidArgument,
    NotFound,
    Unavailable,
    Violation,
)
from vedette.inference.v1 import inference_pb2 as pb
from vedette.inference.v1 import inference_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc

    from inference.catalogue import Catalogue, Endpoint
    from inference.engine.guide import Guide
    from inference.engine.request import Constraint, Output, Refusal
    from inference.spans import GenerationSpans, Observer
    from inference.worker import Answer

    _Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
    _AnyGenerate: TypeAlias = pb.GenerateRequest | pb.StreamGenerateRequest

__all__ = ["InferenceService"]

# The last event still has to reach the caller before its deadline.
_FAREWELL_S = 0.1
# Tokenizing less than this takes less time than handing it to a thread.
_SHORT_CHARS = 4096
_SHORTEST_RETRY_S = 0.1
_CONSTRAINT_FIELDS = {JsonSchema: "json_schema", Regex: "regex", Grammar: "grammar"}


class InferenceService(inference_pb2_grpc.InferenceServiceServicer):
    """`vedette.inference.v1.InferenceService`."""

    def __init__(
        self, catalogue: Catalogue, *, observer: Observer, default_deadline_s: float
    ) -> None:
        """Serve these models."""
        self._catalogue = catalogue
        self._observer = observer
        self._default_deadline_s = default_deadline_s

    async def Generate(self, request: pb.GenerateRequest, context: _Context) -> pb.GenerateResponse:
        """Generate the whole answer and return it at once."""
        generation = await self._open(request, context)
        whole = None
        async with aclosing(generation):
            async for output in generation:
                whole = output if whole is None else whole.merged(output)
        assert whole is not None
        assert whole.finish_reason is not None
        if whole.finish_reason is FinishReason.ERROR:
            raise Internal(reason="GENERATION_FAILED")
        return _response(whole, generation.endpoint)

    async def StreamGenerate(
        self, request: pb.StreamGenerateRequest, context: _Context
    ) -> AsyncIterator[pb.StreamGenerateResponse]:
        """Generate the answer and stream it while it is being made."""
        generation = await self._open(request, context)
        started = pb.Started(
            model=generation.endpoint.card.name, input_tokens=generation.input_tokens
        )
        async with aclosing(generation):
            yield pb.StreamGenerateResponse(started=started)
            async for output in generation:
                for event in _events(output, generation.endpoint):
                    yield event

    async def CountTokens(
        self, request: pb.CountTokensRequest, _context: _Context
    ) -> pb.CountTokensResponse:
        """Count the tokens that a prompt would occupy."""
        endpoint = self._endpoint(request.model)
        prompt = await _encode(endpoint, request.messages)
        return pb.CountTokensResponse(
            input_tokens=len(prompt),
            model=endpoint.card.name,
            context_length=endpoint.card.context_length,
        )

    async def ListModels(
        self, _request: pb.ListModelsRequest, _context: _Context
    ) -> pb.ListModelsResponse:
        """List the models that this server offers."""
        return pb.ListModelsResponse(
            models=[self._model(endpoint) for endpoint in self._catalogue.all()]
        )

    async def GetModel(
        self, request: pb.GetModelRequest, _context: _Context
    ) -> pb.GetModelResponse:
        """Describe one model."""
        return pb.GetModelResponse(model=self._model(self._endpoint(request.name, field="name")))

    def _model(self, endpoint: Endpoint) -> pb.Model:
        return translate.model(endpoint.card, is_default=endpoint is self._catalogue.get(""))

    def _endpoint(self, name: str, *, field: str = "model") -> Endpoint:
        try:
            return self._catalogue.get(name)
        except UnknownModelError as error:
            raise NotFound(
                "There is no such model here; ListModels names those there are.",
                reason="MODEL_NOT_FOUND",
                violations=[Violation(field, "name a model that ListModels names, or none")],
            ) from error
        except NotReadyError as error:
            raise Unavailable(
                "The model is being loaded; try again.", reason="MODEL_LOADING", retry_after_s=1.0
            ) from error

    async def _open(self, request: _AnyGenerate, context: _Context) -> _Generation:
        """Check a request, tokenize it and queue it."""
        deadline = Deadline.of(context, default_s=self._default_deadline_s)
        endpoint = self._endpoint(request.model)
        sampling = translate.sampling(
            request.sampling,
            card=endpoint.card,
            default_new_tokens=endpoint.default_new_tokens,
        )
        priority = translate.priority(request.priority)
        prompt = await _encode(endpoint, request.messages)
        if len(prompt) >= endpoint.card.context_length:
            raise _too_long(endpoint)
        answer = await _submit(
            endpoint,
            prompt,
            sampling,
            deadline_s=deadline.at_s - _FAREWELL_S,
            tenant=request.tenant,
            priority=priority,
            guide=await _guide(endpoint, sampling.constraint),
        )
        spans = self._observer.begin(endpoint, sampling)
        return _Generation(endpoint, len(prompt), answer, spans)


async def _guide(endpoint: Endpoint, constraint: Constraint | None) -> Guide | None:
    if constraint is None:
        return None
    try:
        return await asyncio.to_thread(endpoint.guides.make, constraint)
    except ConstraintError as error:
        field = _CONSTRAINT_FIELDS[type(constraint)]
        raise InvalidArgument(
            [
                Violation(
                    f"sampling.{field}", "is malformed, not supported by llguidance or too large"
                )
            ]
        ) from error


async def _submit(endpoint: Endpoint, *args: Any, **kwargs: Any) -> Answer:
    try:
        answer = endpoint.submit(*args, **kwargs)
    except BusyError as error:
        raise Exhausted(
            "Too many requests are waiting; try again later.",
            reason="QUEUE_FULL",
            retry_after_s=1.0,
        ) from error
    try:
        await answer.accepted()
    except BaseException as error:
        await answer.aclose()
        if isinstance(error, RefusedError):
            raise _refused(error.refusal) from error
        raise
    return answer


def _refused(refusal: Refusal) -> Fault:
    if refusal.retry_after_s is None:
        return DeadlineExceeded(
            "The deadline leaves no time for this request; allow more.", reason="DEADLINE_TOO_SHORT"
        )
    return Exhausted(
        "Requests that wait already leave no time before the deadline; allow more, or try later.",
        reason="QUEUE_TOO_LONG",
        retry_after_s=max(_SHORTEST_RETRY_S, refusal.retry_after_s),
    )


async def _encode(endpoint: Endpoint, messages: Any) -> tuple[int, ...]:
    conversation = translate.messages(messages)
    try:
        if sum(len(message.text) for message in conversation) < _SHORT_CHARS:
            return endpoint.encode(conversation)
        return await asyncio.to_thread(endpoint.encode, conversation)
    except PromptTooLongError as error:
        raise _too_long(endpoint) from error
    except TemplateRefusedError as error:
        raise InvalidArgument(
            [Violation("messages", "this model does not take these roles in this order")],
            reason="ROLES_REFUSED",
        ) from error


def _too_long(endpoint: Endpoint) -> InvalidArgument:
    rule = f"prompt and answer together take at most {endpoint.card.context_length} tokens"
    return InvalidArgument([Violation("messages", rule)], reason="PROMPT_TOO_LONG")


@dataclass(frozen=True, slots=True)
class _Generation:
    """One accepted request: its news, written into spans on the way. Whoever opens it closes it."""

    endpoint: Endpoint
    input_tokens: int
    answer: Answer
    spans: GenerationSpans

    async def __aiter__(self) -> AsyncIterator[Output]:
        async for output in self.answer:
            self.spans.note(output)
            yield output

    async def aclose(self) -> None:
        await self.answer.aclose()
        self.spans.close()


def _response(whole: Output, endpoint: Endpoint) -> pb.GenerateResponse:
    assert whole.finish_reason is not None
    assert whole.usage is not None
    assert whole.timings is not None
    return pb.GenerateResponse(
        text=whole.text,
        finish_reason=translate.finish_reason(whole.finish_reason),
        usage=translate.usage(whole.usage),
        model=endpoint.card.name,
        logprobs=translate.logprobs(whole.logprobs, endpoint.tokenizer),
        timings=translate.timings(whole.timings),
    )


def _events(output: Output, endpoint: Endpoint) -> list[pb.StreamGenerateResponse]:
    events = []
    if output.text or output.logprobs:
        delta = pb.Delta(
            text=output.text,
            output_tokens=output.new_tokens,
            logprobs=translate.logprobs(output.logprobs, endpoint.tokenizer),
        )
        events.append(pb.StreamGenerateResponse(delta=delta))
    if output.finish_reason is not None:
        assert output.usage is not None
        assert output.timings is not None
        final = pb.Final(
            finish_reason=translate.finish_reason(output.finish_reason),
            usage=translate.usage(output.usage),
            timings=translate.timings(output.timings),
        )
        events.append(pb.StreamGenerateResponse(final=final))
    return events
