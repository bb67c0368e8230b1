"""Between the contract of guardrails and the gateway's own values; nothing is decided here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.answer import (
    Action,
    Attestation,
    CheckedPrompt,
    Direction,
    Execution,
    Finding,
    Role,
)
from vedette.guardrails.v1 import guardrails_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.answer import Request

__all__ = [
    "answer_check",
    "prompt_check",
    "stream_config",
    "to_attestation",
    "to_executions",
    "to_finding",
    "to_prompt",
]


def prompt_check(request: Request) -> pb.CheckTextRequest:
    """Asks for a prompt to be checked."""
    return pb.CheckTextRequest(
        policy=request.policy,
        direction=pb.DIRECTION_INPUT,
        segments=[_segment(message.role, message.text) for message in request.messages],
        conversation_id=request.conversation_id,
        tenant=request.tenant,
        request_id=request.request_id,
    )


def answer_check(request: Request, text: str) -> pb.CheckTextRequest:
    """Asks for a whole answer to be checked."""
    return pb.CheckTextRequest(
        policy=request.policy,
        direction=pb.DIRECTION_OUTPUT,
        segments=[pb.Segment(role=pb.ROLE_ASSISTANT, text=text)],
        conversation_id=request.conversation_id,
        tenant=request.tenant,
        request_id=request.request_id,
        context=_system_prompt(request),
    )


def stream_config(request: Request) -> pb.StreamCheckTextConfig:
    """Asks for an answer to be checked while it arrives."""
    return pb.StreamCheckTextConfig(
        policy=request.policy,
        direction=pb.DIRECTION_OUTPUT,
        role=pb.ROLE_ASSISTANT,
        conversation_id=request.conversation_id,
        tenant=request.tenant,
        request_id=request.request_id,
        context=_system_prompt(request),
    )


def to_prompt(response: pb.CheckTextResponse) -> CheckedPrompt:
    """What guardrails made of a prompt."""
    return CheckedPrompt(
        blocked=response.action == pb.ACTION_BLOCK,
        texts=tuple(segment.text for segment in response.segments),
        findings=tuple(
            to_finding(finding, Direction.INPUT, index)
            for index, segment in enumerate(response.segments)
            for finding in segment.findings
        ),
        executions=to_executions(response.executions, Direction.INPUT),
        policy_digest=response.policy_digest,
    )


def to_attestation(message: pb.Attestation) -> Attestation:
    """What was scanned and released."""
    return Attestation(
        released_chars=message.released_chars,
        scanned_chars=message.scanned_chars,
        released_sha256=message.released_sha256,
        policy_digest=message.policy_digest,
        detectors=tuple((d.detector, d.version) for d in message.detectors),
    )


def to_finding(message: pb.Finding, direction: Direction, message_index: int = 0) -> Finding:
    """Something that was found."""
    return Finding(
        detector=message.detector,
        category=message.category,
        start=message.span.start,
        end=message.span.end,
        score=message.score,
        action=Action(message.action),
        rule_id=message.rule_id,
        direction=direction,
        message_index=message_index,
        treatment=message.treatment,
    )


def to_executions(messages: Sequence[pb.Execution], direction: Direction) -> tuple[Execution, ...]:
    """What became of each detector."""
    return tuple(
        Execution(
            detector=message.detector,
            state=message.state,
            score=message.score,
            duration_ns=message.duration.ToNanoseconds(),
            version=message.version,
            direction=direction,
        )
        for message in messages
    )


def _system_prompt(request: Request) -> list[pb.Segment]:
    return [
        _segment(message.role, message.text)
        for message in request.messages
        if message.role is Role.SYSTEM
    ]


def _segment(role: Role, text: str) -> pb.Segment:
    return pb.Segment(role=role.value, text=text)  # type: ignore[arg-type]
