"""Many texts through the guard, and what it says of each."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import grpc

from vedette.errors import from_rpc_error
from vedette.guardrails.v1 import guardrails_pb2 as pb
from vedette.guardrails.v1 import guardrails_pb2_grpc as stubs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

__all__ = ["Case", "CaseError", "Outcome", "cases_of_jsonl", "check_all"]

# Enough to keep every core of the service busy; more would only wait there, at the cost of what
# the policy's time limits allow.
_IN_FLIGHT: Final = 16
_DEADLINE_S: Final = 120.0
_ROLES: Final = ("system", "user", "assistant", "tool", "document")
_DIRECTIONS: Final = ("input", "output")


class CaseError(ValueError):
    """A case is not written as it has to be; the text names the line, the field and the rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One text to check."""

    text: str
    role: str
    direction: str

    def request(self, policy: str) -> pb.CheckTextRequest:
        """The call that checks it."""
        role = pb.Role.Value(f"ROLE_{self.role.upper()}")
        return pb.CheckTextRequest(
            policy=policy,
            direction=pb.Direction.Value(f"DIRECTION_{self.direction.upper()}"),
            segments=[pb.Segment(role=role, text=self.text)],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the guard said of one case, as one JSON object; or why it could not."""

    record: dict[str, Any]
    blocked: bool = False
    failed: bool = False


def cases_of_jsonl(lines: Iterable[str]) -> list[Case]:
    """The cases of a file with one JSON object a line; empty lines are passed over.

    What else an object has, a label for example, is left alone. What an assistant says goes out
    and all else in, unless the object says otherwise.

    Raises:
        CaseError: the first line that is wrong.
    """
    return [_case(line, number) for number, line in enumerate(lines, start=1) if line.strip()]


async def check_all(
    channel: grpc.aio.Channel, cases: Iterable[Case], *, policy: str
) -> AsyncIterator[Outcome]:
    """Check the cases, several at a time; the outcomes come in the order of the cases."""
    stub = stubs.GuardrailsServiceStub(channel)
    running: deque[asyncio.Task[Outcome]] = deque()
    try:
        for case in cases:
            running.append(asyncio.create_task(_check(stub, case.request(policy))))
            if len(running) >= _IN_FLIGHT:
                yield await running.popleft()
        while running:
            yield await running.popleft()
    finally:
        for task in running:
            task.cancel()


async def _check(stub: stubs.GuardrailsServiceAsyncStub, request: pb.CheckTextRequest) -> Outcome:
    try:
        response = await stub.CheckText(request, timeout=_DEADLINE_S)
    except grpc.aio.AioRpcError as error:
        failure = from_rpc_error(error)
        said = {"code": failure.code.name, "reason": failure.reason, "message": str(failure)}
        return Outcome(record={"error": said}, failed=True)
    [segment] = response.segments
    record = {
        "action": _word(pb.Action, response.action),
        "text": segment.text,
        "findings": [_finding(finding) for finding in segment.findings],
        "executions": [_execution(execution) for execution in response.executions],
    }
    return Outcome(record=record, blocked=response.action == pb.ACTION_BLOCK)


def _finding(finding: pb.Finding) -> dict[str, Any]:
    return {
        "detector": finding.detector,
        "category": finding.category,
        "rule_id": finding.rule_id,
        "start": finding.span.start,
        "end": finding.span.end,
        "score": finding.score,
        "action": _word(pb.Action, finding.action),
    }


def _execution(execution: pb.Execution) -> dict[str, Any]:
    return {
        "detector": execution.detector,
        "version": execution.version,
        "state": _word(pb.ExecutionState, execution.state),
        "score": execution.score,
        "duration_s": execution.duration.ToTimedelta().total_seconds(),
    }


def _word(enum: Any, value: int) -> str:
    """`ACTION_BLOCK` as `block`."""
    prefix = enum.Name(0).removesuffix("UNSPECIFIED")
    return str(enum.Name(value).removeprefix(prefix).lower())


def _case(line: str, number: int) -> Case:
    try:
        raw = json.loads(line)
    except ValueError:
        raise CaseError(f"line {number} is not JSON") from None
    if not isinstance(raw, dict):
        raise CaseError(f"line {number} is not a JSON object")
    _require(number, "text", "is needed and is a string", isinstance(raw.get("text"), str))
    role, direction = raw.get("role"), raw.get("direction")
    rule = f"is one of {', '.join(_ROLES)}"
    _require(number, "role", rule, role is None or role in _ROLES)
    rule = f"is one of {', '.join(_DIRECTIONS)}"
    _require(number, "direction", rule, direction is None or direction in _DIRECTIONS)
    role = role or ("assistant" if direction == "output" else "user")
    direction = direction or ("output" if role == "assistant" else "input")
    return Case(text=raw["text"], role=role, direction=direction)


def _require(number: int, field: str, rule: str, holds: object) -> None:
    if not holds:
        raise CaseError(f"line {number}: {field} {rule}")
