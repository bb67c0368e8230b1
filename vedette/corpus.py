"""Many texts through the guard, and what it says of each."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf.json_format import MessageToDict

from vedette.errors import from_rpc_error
from vedette.guardrails.v1 import guardrails_pb2 as pb
from vedette.guardrails.v1 import guardrails_pb2_grpc as stubs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

__all__ = ["Case", "CaseError", "Outcome", "cases_of_jsonl", "check_all"]

# Enough to keep every core of the service busy; more would only wait there.
_IN_FLIGHT: Final = 32
_DEADLINE_S: Final = 120.0
_ROLES: Final = ("system", "user", "assistant", "tool", "document")
_DIRECTIONS: Final = ("input", "output")


class CaseError(ValueError):
    """A case is not written as it has to be; the text names the line, the field and the rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One text to check."""

    text: str
    role: str = "user"
    direction: str = ""

    def request(self, policy: str) -> pb.CheckTextRequest:
        """The call that checks it. What an assistant says goes to the caller, all else in."""
        direction = self.direction or ("output" if self.role == "assistant" else "input")
        role = pb.Role.Value(f"ROLE_{self.role.upper()}")
        return pb.CheckTextRequest(
            policy=policy,
            direction=pb.Direction.Value(f"DIRECTION_{direction.upper()}"),
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

    Raises:
        CaseError: the first line that is wrong.
    """
    return [_case(line, number) for number, line in enumerate(lines, start=1) if not line.isspace()]


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
        "action": pb.Action.Name(response.action),
        "text": segment.text,
        "findings": [_as_dict(finding) for finding in segment.findings],
        "executions": [_as_dict(execution) for execution in response.executions],
    }
    return Outcome(record=record, blocked=response.action == pb.ACTION_BLOCK)


def _as_dict(message: Any) -> dict[str, Any]:
    return MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _case(line: str, number: int) -> Case:
    try:
        raw = json.loads(line)
    except ValueError:
        raise CaseError(f"line {number} is not JSON") from None
    if not isinstance(raw, dict):
        raise CaseError(f"line {number} is not a JSON object")
    _require(raw, number, "text", "is needed and is a string", isinstance(raw.get("text"), str))
    role, direction = raw.get("role", "user"), raw.get("direction", "")
    _require(raw, number, "role", f"is one of {', '.join(_ROLES)}", role in _ROLES)
    rule = f"is one of {', '.join(_DIRECTIONS)}"
    _require(raw, number, "direction", rule, direction in ("", *_DIRECTIONS))
    return Case(text=raw["text"], role=role, direction=direction)


def _require(raw: dict[str, Any], number: int, field: str, rule: str, holds: object) -> None:
    unknown = sorted(raw.keys() - {"text", "role", "direction"})
    if unknown:
        raise CaseError(f"line {number}: {unknown[0]} is no field; there are text, role, direction")
    if not holds:
        raise CaseError(f"line {number}: {field} {rule}")
