"""What is kept about one request."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from gateway.answer import Action, Direction, Execution, Final, Finding, FinishReason, Usage
from gateway.journal import Degradation, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.answer import Request

__all__ = ["Decision", "decision", "from_json", "to_json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The record of one request."""

    request_id: str
    trace_id: str
    tenant: str
    policy: str
    time: datetime
    model: str
    policy_digest: str
    finish_reason: FinishReason
    findings: tuple[Finding, ...]
    executions: tuple[Execution, ...]
    degradations: tuple[Degradation, ...]
    steps: tuple[Step, ...]
    prompt_sha256: str
    released_sha256: str
    usage: Usage
    # Each breaker's part and its state when the request ended.
    breakers: tuple[tuple[str, str], ...] = ()


def decision(
    request: Request,
    findings: Sequence[Finding],
    final: Final | None,
    *,
    cancelled: bool,
    breakers: Sequence[tuple[str, str]] = (),
) -> Decision:
    """The record of a request that ended; without a Final it failed or was cancelled."""
    journal = request.journal
    attestation = final.attestation if final else None
    unfinished = FinishReason.CANCELLED if cancelled else FinishReason.ERROR
    return Decision(
        request_id=request.request_id,
        trace_id=journal.trace_id,
        tenant=request.tenant,
        policy=request.policy,
        time=journal.arrived,
        model=final.model if final else journal.model or request.model,
        policy_digest=attestation.policy_digest if attestation else "",
        finish_reason=final.finish_reason if final else unfinished,
        findings=tuple(findings),
        executions=final.executions if final else (),
        degradations=tuple(journal.degradations),
        steps=tuple(journal.steps),
        prompt_sha256=_prompt_sha256(request),
        released_sha256=attestation.released_sha256 if attestation else "",
        usage=(final.usage if final else journal.usage) or Usage(),
        breakers=tuple(breakers),
    )


def to_json(record: Decision) -> str:
    """One line."""
    return json.dumps(asdict(record) | {"time": record.time.isoformat()}, separators=(",", ":"))


def from_json(line: str) -> Decision:
    """The record that `to_json` wrote."""
    fields: dict[str, Any] = json.loads(line)
    return Decision(
        **fields
        | {
            "time": datetime.fromisoformat(fields["time"]),
            "finish_reason": FinishReason(fields["finish_reason"]),
            "findings": tuple(_finding(entry) for entry in fields["findings"]),
            "executions": tuple(_execution(entry) for entry in fields["executions"]),
            "degradations": tuple(Degradation(**entry) for entry in fields["degradations"]),
            "steps": tuple(Step(**entry) for entry in fields["steps"]),
            "usage": Usage(**fields["usage"]),
            # Records of before breakers were kept have none.
            "breakers": tuple((part, state) for part, state in fields.get("breakers", ())),
        }
    )


def _finding(entry: dict[str, Any]) -> Finding:
    action, direction = Action(entry["action"]), Direction(entry["direction"])
    return Finding(**entry | {"action": action, "direction": direction})


def _execution(entry: dict[str, Any]) -> Execution:
    return Execution(**entry | {"direction": Direction(entry["direction"])})


def _prompt_sha256(request: Request) -> str:
    """Over role, length and text of each message, so that no two prompts read alike."""
    digest = hashlib.sha256()
    for message in request.messages:
        text = message.text.encode()
        digest.update(f"{message.role.value}:{len(text)}:".encode())
        digest.update(text)
    return digest.hexdigest()
