"""Between the contract's messages and the gateway's own values; nothing is decided here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.answer import Delta, Final, Finding, Started
from vedette.gateway.v1 import gateway_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from gateway.answer import Attestation, Event, Execution, Usage
    from gateway.audit.record import Decision
    from gateway.budget.ledger import Balance, Row
    from gateway.journal import Journal

__all__ = [
    "collect",
    "decision",
    "is_deterministic",
    "max_new_tokens",
    "messages",
    "response",
    "stream_event",
    "usage_response",
]


def messages(wire_messages: Iterable[pb.Message]) -> list[tuple[int, str]]:
    """Role number and text of each message."""
    return [(message.role, message.text) for message in wire_messages]


def max_new_tokens(sampling: pb.Sampling) -> int | None:
    """How many tokens the caller wants, if it says so."""
    return sampling.max_new_tokens if sampling.HasField("max_new_tokens") else None


def is_deterministic(sampling: pb.Sampling) -> bool:
    """Whether the caller asks for tokens that do not depend on chance.

    Log-probabilities are not kept with an answer, so asking for them is asking anew.
    """
    greedy = sampling.HasField("temperature") and sampling.temperature == 0
    return (greedy or sampling.HasField("seed")) and not sampling.HasField("logprobs")


def response(request_id: str, trace_id: str) -> pb.GenerateResponse:
    """An answer with nothing in it yet."""
    return pb.GenerateResponse(request_id=request_id, trace_id=trace_id)


def collect(event: Event, into: pb.GenerateResponse, journal: Journal) -> None:
    """Add one event of the pipeline to a whole answer."""
    match event:
        case Delta():
            into.text += event.text
        case Finding():
            into.findings.append(_finding(event))
        case Final():
            into.finish_reason = event.finish_reason.value  # type: ignore[assignment]
            into.usage.CopyFrom(_usage(event.usage))
            into.attestation.CopyFrom(_attestation(event.attestation))
            into.executions.extend(_execution(execution) for execution in event.executions)
            into.model = event.model
            into.degradations.extend(_degradations(journal))
            into.logprobs.extend(_logprobs(event))
        case Started():
            pass


def stream_event(event: Event, request_id: str, journal: Journal) -> pb.StreamGenerateResponse:
    """One event of the pipeline as it goes over the wire."""
    match event:
        case Delta():
            return pb.StreamGenerateResponse(delta=pb.Delta(text=event.text))
        case Finding():
            return pb.StreamGenerateResponse(finding=_finding(event))
        case Started():
            return pb.StreamGenerateResponse(
                started=pb.Started(
                    request_id=request_id,
                    trace_id=journal.trace_id,
                    model=event.model,
                    policy_digest=event.policy_digest,
                    buffered=event.buffered,
                )
            )
        case Final():
            return pb.StreamGenerateResponse(
                final=pb.Final(
                    finish_reason=event.finish_reason.value,  # type: ignore[arg-type]
                    usage=_usage(event.usage),
                    request_id=request_id,
                    trace_id=journal.trace_id,
                    attestation=_attestation(event.attestation),
                    executions=[_execution(execution) for execution in event.executions],
                    model=event.model,
                    degradations=_degradations(journal),
                    logprobs=_logprobs(event),
                )
            )


def _logprobs(final: Final) -> list[pb.TokenLogprob]:
    return [
        pb.TokenLogprob(token_id=each.token_id, token=each.token, logprob=each.logprob)
        for each in final.logprobs
    ]


def _degradations(journal: Journal) -> list[pb.Degradation]:
    return [pb.Degradation(part=d.part, mode=d.mode) for d in journal.degradations]


def usage_response(
    rows: Iterable[Row], balances: Iterable[Balance], tenant: str, currency: str
) -> pb.GetUsageResponse:
    """What a tenant consumed."""
    return pb.GetUsageResponse(
        rows=[
            pb.UsageRow(
                date=row.day.isoformat(),
                model=row.model,
                tenant=tenant,
                requests=row.requests,
                blocked_requests=row.blocked_requests,
                input_tokens=row.input_tokens,
                output_tokens=row.output_tokens,
                cost_micros=row.cost_micros,
                currency=currency,
            )
            for row in rows
        ],
        budgets=[
            pb.Budget(
                period=balance.allowance.period.value,
                unit=balance.allowance.unit.value,
                limit=balance.allowance.limit,
                used=balance.used,
                reserved=balance.reserved,
                resets=_timestamp(balance.resets),
            )
            for balance in balances
        ],
    )


def decision(record: Decision) -> pb.Decision:
    """The record of one request."""
    return pb.Decision(
        request_id=record.request_id,
        trace_id=record.trace_id,
        tenant=record.tenant,
        time=_timestamp(record.time),
        model=record.model,
        policy_digest=record.policy_digest,
        finish_reason=record.finish_reason.value,  # type: ignore[arg-type]
        findings=[_finding(finding) for finding in record.findings],
        executions=[_execution(execution) for execution in record.executions],
        degradations=[pb.Degradation(part=d.part, mode=d.mode) for d in record.degradations],
        prompt_sha256=record.prompt_sha256,
        released_sha256=record.released_sha256,
        steps=[
            pb.DecisionStep(
                name=step.name,
                offset=_duration(step.offset_ns),
                duration=_duration(step.duration_ns),
                outcome=step.outcome,
            )
            for step in record.steps
        ],
        usage=_usage(record.usage),
        breakers=[
            pb.Breaker(part=part, state=_BREAKER_STATES[state]) for part, state in record.breakers
        ],
    )


_BREAKER_STATES = {
    "closed": pb.BREAKER_STATE_CLOSED,
    "half-open": pb.BREAKER_STATE_HALF_OPEN,
    "open": pb.BREAKER_STATE_OPEN,
}


def _duration(nanoseconds: int) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(nanoseconds)
    return duration


def _timestamp(moment: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp


def _finding(finding: Finding) -> pb.Finding:
    return pb.Finding(
        detector=finding.detector,
        category=finding.category,
        span=pb.Span(start=finding.start, end=finding.end),
        score=finding.score,
        action=finding.action.value,  # type: ignore[arg-type]
        rule_id=finding.rule_id,
        direction=finding.direction.value,  # type: ignore[arg-type]
        message_index=finding.message_index,
        treatment=finding.treatment,  # type: ignore[arg-type]
    )


def _execution(execution: Execution) -> pb.Execution:
    proto = pb.Execution(
        detector=execution.detector,
        state=execution.state,  # type: ignore[arg-type]
        score=execution.score,
        version=execution.version,
        direction=execution.direction,  # type: ignore[arg-type]
    )
    # `FromNanoseconds` checks what cannot be wrong here, and takes twice as long.
    proto.duration.seconds, proto.duration.nanos = divmod(execution.duration_ns, 10**9)
    return proto


def _usage(usage: Usage) -> pb.Usage:
    return pb.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_tokens=usage.cached_tokens,
    )


def _attestation(attestation: Attestation) -> pb.Attestation:
    return pb.Attestation(
        released_chars=attestation.released_chars,
        scanned_chars=attestation.scanned_chars,
        released_sha256=attestation.released_sha256,
        policy_digest=attestation.policy_digest,
        detectors=[
            pb.DetectorVersion(detector=detector, version=version)
            for detector, version in attestation.detectors
        ],
    )
