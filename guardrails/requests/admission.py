"""What a request must be before anything is checked; every mistake is named at once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from guardrails.pseudonyms import Scope
from guardrails.window.surroundings import Surroundings, Text
from guardrails.wire import DIRECTIONS, ROLES
from servicekit.errors import Exhausted, InvalidArgument, NotFound, Violation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardrails.findings import Direction, Role
    from guardrails.policy import PolicyStore
    from guardrails.policy.compiled import CompiledPolicy
    from vedette.guardrails.v1 import guardrails_pb2 as pb

    _Request: TypeAlias = pb.CheckTextRequest | pb.StreamCheckTextConfig

__all__ = ["Admission", "Admitted"]

_ROLE_RULE = "must be one of the roles of vedette.guardrails.v1.Role other than ROLE_UNSPECIFIED"
# It stands in records: words of a prompt must not fit into it.
_REQUEST_ID = re.compile(r"[\w.@:/-]{0,128}")
_DIRECTION_RULE = "must be DIRECTION_INPUT or DIRECTION_OUTPUT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A request that makes sense."""

    policy: CompiledPolicy
    direction: Direction
    role: Role
    texts: tuple[Text, ...]
    surroundings: Surroundings


class Admission:
    """Turns requests into domain values, or refuses them."""

    def __init__(self, *, store: PolicyStore, max_text_chars: int, max_segments: int) -> None:
        """Admit requests up to these sizes."""
        self._store = store
        self._max_text_chars = max_text_chars
        self._max_segments = max_segments

    def check(self, request: pb.CheckTextRequest) -> Admitted:
        """Admit a request for whole texts.

        Raises:
            Fault: naming every field at fault, or the policy that does not exist.
        """
        violations = [
            *_in_direction(request.direction),
            *self._in_segments(request),
            *_in_context(request, "context"),
            *_in_request_id(request, "request_id"),
        ]
        if violations:
            raise InvalidArgument(violations)
        self.require_length(_chars(request.segments), "segments")
        if request.context:
            self.require_length(_chars(request.context), "context")
        texts = tuple(
            Text(role=ROLES[segment.role], text=segment.text) for segment in request.segments
        )
        return Admitted(
            policy=self._policy(request, "purpose"),
            direction=DIRECTIONS[request.direction],
            role=texts[0].role,
            texts=texts,
            surroundings=_surroundings(request),
        )

    def stream(self, config: pb.StreamCheckTextConfig) -> Admitted:
        """Admit the first message of a stream.

        Raises:
            Fault: naming every field at fault, or the policy that does not exist.
        """
        violations = _in_direction(config.direction, prefix="config.")
        if config.role not in ROLES:
            violations.append(Violation("config.role", _ROLE_RULE))
        violations += _in_context(config, "config.context")
        violations += _in_request_id(config, "config.request_id")
        if violations:
            raise InvalidArgument(violations)
        self.require_length(_chars(config.context), "config.context")
        return Admitted(
            policy=self._policy(config, "config.purpose"),
            direction=DIRECTIONS[config.direction],
            role=ROLES[config.role],
            texts=(),
            surroundings=_surroundings(config),
        )

    def restore(self, request: pb.RestoreTextRequest) -> Scope:
        """Admit a request for original values.

        Raises:
            Fault: naming the field at fault.
        """
        if not request.conversation_id:
            rule = "must name the conversation that the placeholders belong to"
            raise InvalidArgument([Violation("conversation_id", rule)])
        self.require_length(len(request.text), "text")
        return Scope(tenant=request.tenant, conversation_id=request.conversation_id)

    def require_length(self, chars: int, field: str) -> None:
        """Refuse texts longer than the limit.

        Raises:
            Exhausted: naming the field and the limit.
        """
        if chars > self._max_text_chars:
            rule = f"at most {self._max_text_chars} characters in all; split the text"
            raise Exhausted(
                "The text is longer than this server checks.",
                reason="TEXT_TOO_LONG",
                violations=[Violation(field, rule)],
                quota="max_text_chars",
            )

    def _policy(self, request: _Request, purpose_field: str) -> CompiledPolicy:
        policy = self._store.get(request.policy)
        if policy is None:
            raise NotFound(
                "There is no policy of this name; ListPolicies tells which there are.",
                reason="POLICY_NOT_FOUND",
            )
        if request.purpose and request.purpose not in policy.purposes:
            known = ", ".join(sorted(policy.purposes)) or "none"
            rule = f"must be a purpose of this policy; it has: {known}"
            raise InvalidArgument([Violation(purpose_field, rule)])
        return policy

    def _in_segments(self, request: pb.CheckTextRequest) -> list[Violation]:
        count = len(request.segments)
        if not 1 <= count <= self._max_segments:
            return [Violation("segments", f"must hold 1 to {self._max_segments} segments")]
        return _in_roles(request.segments, "segments")


def _in_direction(direction: int, prefix: str = "") -> list[Violation]:
    if direction in DIRECTIONS:
        return []
    return [Violation(f"{prefix}direction", _DIRECTION_RULE)]


def _in_roles(segments: Iterable[pb.Segment], field: str) -> list[Violation]:
    return [
        Violation(f"{field}[{index}].role", _ROLE_RULE)
        for index, segment in enumerate(segments)
        if segment.role not in ROLES
    ]


def _chars(segments: Iterable[pb.Segment]) -> int:
    return sum(len(segment.text) for segment in segments)


def _in_context(request: _Request, field: str) -> list[Violation]:
    return _in_roles(request.context, field) if request.context else []


def _in_request_id(request: _Request, field: str) -> list[Violation]:
    if _REQUEST_ID.fullmatch(request.request_id):
        return []
    return [Violation(field, "must have at most 128 letters, digits and characters of _.@:/-")]


def _surroundings(request: _Request) -> Surroundings:
    return Surroundings(
        tenant=request.tenant,
        conversation_id=request.conversation_id,
        purpose=request.purpose,
        request_id=request.request_id,
        context=tuple(
            Text(role=ROLES[segment.role], text=segment.text) for segment in request.context
        ),
    )
