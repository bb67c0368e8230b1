"""The gateway's RPCs: the wire on one side, the pipeline on the other, no decisions in between."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, TypeAlias

from opentelemetry import trace

from gateway import wire
from gateway.answer import Delta, Final, Started
from gateway.identity.caller import CALLER
from gateway.metrics import answering_model
from servicekit import logs, names
from servicekit.deadline import Deadline
from vedette.gateway.v1 import gateway_pb2 as pb
from vedette.gateway.v1 import gateway_pb2_grpc as stubs

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    import grpc
    from opentelemetry.trace import Tracer

    from gateway.admission import Admission
    from gateway.answer import Event, Request
    from gateway.audit.layer import Decisions
    from gateway.budget.report import UsageReport
    from gateway.journal import Journal
    from gateway.limits.layer import Toll
    from gateway.metrics import GatewayMetrics
    from gateway.model import RemoteModel
    from gateway.pipeline import Answerer

    Context: TypeAlias = grpc.aio.ServicerContext[object, object]

__all__ = ["GatewayService"]


class GatewayService(stubs.GatewayServiceServicer):
    """Answers `vedette.gateway.v1.GatewayService`."""

    def __init__(  # noqa: PLR0913 - what the RPCs need
        self,
        *,
        admission: Admission,
        answerer: Answerer,
        model: RemoteModel,
        toll: Toll,
        usage_report: UsageReport,
        decisions: Decisions,
        default_deadline_s: float,
        tracer: Tracer,
        metrics: GatewayMetrics,
    ) -> None:
        """Serve what this answers; calls without a deadline get the default one."""
        self._admission = admission
        self._answerer = answerer
        self._model = model
        self._toll = toll
        self._usage_report = usage_report
        self._decisions = decisions
        self._default_deadline_s = default_deadline_s
        self._tracer = tracer
        self._metrics = metrics

    async def Generate(self, request: pb.GenerateRequest, context: Context) -> pb.GenerateResponse:
        """Answer at once: the events of the pipeline, collected."""
        admitted = self._admit(request)
        response = wire.response(admitted.request_id, admitted.journal.trace_id)
        async with aclosing(self._run(admitted, context)) as events:
            async for event in events:
                wire.collect(event, response, admitted.journal)
        return response

    async def StreamGenerate(
        self, request: pb.StreamGenerateRequest, context: Context
    ) -> AsyncIterator[pb.StreamGenerateResponse]:
        """Answer while it is made: the events of the pipeline, one by one."""
        admitted = self._admit(request)
        async with aclosing(self._run(admitted, context)) as events:
            async for event in events:
                yield wire.stream_event(event, admitted.request_id, admitted.journal)

    async def CountTokens(
        self, request: pb.CountTokensRequest, context: Context
    ) -> pb.CountTokensResponse:
        """Count the tokens of a prompt."""
        admitted = self._admission.admit(
            CALLER.get(), model=request.model, messages=wire.messages(request.messages)
        )
        await self._toll.pay(admitted)
        count = await self._model.count_tokens(admitted, self._deadline(context))
        return pb.CountTokensResponse(
            input_tokens=count.input_tokens,
            model=count.model,
            context_length=count.context_length,
        )

    async def GetUsage(self, request: pb.GetUsageRequest, _context: Context) -> pb.GetUsageResponse:
        """Report what the caller's tenant consumed."""
        caller = CALLER.get()
        rows, balances = await self._usage_report.of(
            caller,
            start_date=request.start_date,
            end_date=request.end_date,
            model=request.model,
        )
        return wire.usage_response(rows, balances, caller.tenant, self._usage_report.currency)

    async def GetDecision(
        self, request: pb.GetDecisionRequest, _context: Context
    ) -> pb.GetDecisionResponse:
        """Explain an earlier request of the caller's tenant."""
        record = await self._decisions.of(CALLER.get(), request.request_id)
        return pb.GetDecisionResponse(decision=wire.decision(record))

    def _admit(self, request: pb.GenerateRequest | pb.StreamGenerateRequest) -> Request:
        admitted = self._admission.admit(
            CALLER.get(),
            model=request.model,
            messages=wire.messages(request.messages),
            sampling=request.sampling.SerializeToString(),
            policy=request.policy,
            conversation_id=(
                request.conversation_id if request.HasField("conversation_id") else None
            ),
            streamed=isinstance(request, pb.StreamGenerateRequest),
            max_new_tokens=wire.max_new_tokens(request.sampling),
            deterministic=wire.is_deterministic(request.sampling),
            with_logprobs=request.sampling.HasField("logprobs"),
        )
        span = trace.get_current_span()
        admitted.journal.trace_id = trace.format_trace_id(span.get_span_context().trace_id)
        if span.is_recording():
            admitted.journal.tracer = self._tracer
            span.set_attributes(
                {names.REQUEST_ID: admitted.request_id, names.TENANT: admitted.tenant}
            )
        logs.bind(request_id=admitted.request_id, tenant=admitted.tenant)
        return admitted

    async def _run(self, request: Request, context: Context) -> AsyncGenerator[Event]:
        final: Final | None = None
        model, is_first = "", request.streamed
        try:
            async with aclosing(self._answerer.run(request, self._deadline(context))) as events:
                async for event in events:
                    if isinstance(event, Final):
                        final = event
                        _observe(event, request.journal)
                    elif isinstance(event, Started):
                        model = event.model
                    elif is_first and isinstance(event, Delta):
                        is_first = False
                        self._metrics.first_text(request, model)
                    yield event
        finally:
            _observe_journal(request)
            self._metrics.ended(request, final)

    def _deadline(self, context: Context) -> Deadline:
        return Deadline.of(context, default_s=self._default_deadline_s)


def _observe(final: Final, journal: Journal) -> None:
    """Tell the span and the log line of this call how the answer ended; counts only."""
    facts: dict[str, str | int] = {
        names.FINISH_REASON: final.finish_reason.name,
        names.GEN_AI_RESPONSE_MODEL: answering_model(journal),
        names.GEN_AI_INPUT_TOKENS: final.usage.input_tokens,
        names.GEN_AI_OUTPUT_TOKENS: final.usage.output_tokens,
        names.RELEASED_CHARS: final.attestation.released_chars,
        names.SCANNED_CHARS: final.attestation.scanned_chars,
        names.POLICY_DIGEST: final.attestation.policy_digest,
    }
    trace.get_current_span().set_attributes(facts)
    logs.bind(**{key.replace(".", "_"): value for key, value in facts.items()})


def _observe_journal(request: Request) -> None:
    wasted = request.journal.wasted_tokens
    if wasted:
        trace.get_current_span().set_attribute(names.WASTED_TOKENS, wasted)
        logs.bind(wasted_tokens=wasted)
    for degradation in request.journal.degradations:
        facts = {names.DEGRADED_PART: degradation.part, names.DEGRADED_MODE: degradation.mode}
        trace.get_current_span().add_event(names.EVENT_DEGRADED, facts)
    if request.journal.degradations:
        logs.bind(degradations=[f"{d.part}:{d.mode}" for d in request.journal.degradations])
