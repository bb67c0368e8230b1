"""What a servicer may raise, and how it travels.

    Fault                     carries a status, a stable reason and a fixed, neutral text
    ├─ InvalidArgument        the caller's mistake, field by field
    ├─ NotFound               the caller named something that is not here
    ├─ FailedPrecondition     right request, wrong moment
    ├─ Exhausted              over a limit; says when to come back
    ├─ Unauthenticated        no valid credential
    ├─ PermissionDenied       a valid credential that does not suffice
    ├─ DeadlineExceeded       no time left
    ├─ Unavailable            a part is down; says when to come back
    └─ Internal               our mistake; the cause goes to the log, never to the caller

Every fault becomes a `google.rpc.Status` with exactly one ErrorInfo, and with BadRequest,
RetryInfo or QuotaFailure where they apply (AIP-193). The other direction, from a failed call to
an exception, is `vedette.errors`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import grpc
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from google.protobuf.message import Message

__all__ = [
    "DeadlineExceeded",
    "Exhausted",
    "FailedPrecondition",
    "Fault",
    "Internal",
    "InvalidArgument",
    "NotFound",
    "PermissionDenied",
    "Unauthenticated",
    "Unavailable",
    "Violation",
]

DOMAIN = "vedette"


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that breaks a rule: a proto path like `messages[0].text`, the rule, the remedy."""

    field: str
    description: str


class Fault(Exception):
    """A failure that the caller may know of. `message` is public: never content, never a cause."""

    code: ClassVar[grpc.StatusCode]
    default_reason: ClassVar[str]
    default_message: ClassVar[str]

    def __init__(  # noqa: PLR0913 - each becomes one detail of the status
        self,
        message: str = "",
        *,
        reason: str = "",
        violations: Iterable[Violation] = (),
        retry_after_s: float | None = None,
        quota: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Describe the failure.

        Args:
            message: public English text; empty for the class's own.
            reason: stable UPPER_SNAKE reason; empty for the class's own.
            violations: the fields at fault.
            retry_after_s: when a retry has a chance, in seconds.
            quota: the limit that was hit, if one was.
            metadata: machine-readable facts about the failure; never content.
        """
        self.message = message or self.default_message
        self.reason = reason or self.default_reason
        self.violations = tuple(violations)
        self.retry_after_s = retry_after_s
        self.quota = quota
        self.metadata = dict(metadata or {})
        super().__init__(f"{self.reason}: {self.message}")

    def to_status(self) -> status_pb2.Status:
        """The failure as it goes over the wire."""
        status = status_pb2.Status(code=code_pb2.Code.Value(self.code.name), message=self.message)
        for detail in self._details():
            packed = any_pb2.Any()
            packed.Pack(detail)
            status.details.append(packed)
        return status

    def _details(self) -> Iterator[Message]:
        yield error_details_pb2.ErrorInfo(reason=self.reason, domain=DOMAIN, metadata=self.metadata)
        if self.violations:
            bad_request = error_details_pb2.BadRequest()
            for violation in self.violations:
                bad_request.field_violations.add(
                    field=violation.field, description=violation.description
                )
            yield bad_request
        if self.retry_after_s is not None:
            yield error_details_pb2.RetryInfo(retry_delay=_duration(self.retry_after_s))
        if self.quota:
            yield error_details_pb2.QuotaFailure(
                violations=[
                    error_details_pb2.QuotaFailure.Violation(
                        subject=self.quota, description=self.message
                    )
                ]
            )


class InvalidArgument(Fault):
    """The request breaks a rule whatever the state of the service."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    default_reason = "INVALID_REQUEST"
    default_message = "The request is invalid; the field violations say where."

    def __init__(self, violations: Sequence[Violation], *, reason: str = "") -> None:
        """Describe the fields at fault; at least one."""
        super().__init__(reason=reason, violations=violations)


class NotFound(Fault):
    """The request names something that is not here."""

    code = grpc.StatusCode.NOT_FOUND
    default_reason = "NOT_FOUND"
    default_message = "There is no such thing here."


class FailedPrecondition(Fault):
    """The request is right but the service is not in a state to do it."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    default_reason = "FAILED_PRECONDITION"
    default_message = "The service is not in a state to do this."


class Exhausted(Fault):
    """A limit was reached."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    default_reason = "LIMIT_REACHED"
    default_message = "A limit was reached; try again later."


class Unauthenticated(Fault):
    """There is no valid credential."""

    code = grpc.StatusCode.UNAUTHENTICATED
    default_reason = "UNAUTHENTICATED"
    default_message = "A valid credential is needed."


class PermissionDenied(Fault):
    """The credential is valid and does not suffice."""

    code = grpc.StatusCode.PERMISSION_DENIED
    default_reason = "PERMISSION_DENIED"
    default_message = "This credential does not allow that."


class DeadlineExceeded(Fault):
    """There is no time left."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
    default_reason = "DEADLINE_EXCEEDED"
    default_message = "The deadline passed before the work was done."


class Unavailable(Fault):
    """A part that is needed is down."""

    code = grpc.StatusCode.UNAVAILABLE
    default_reason = "UNAVAILABLE"
    default_message = "The service cannot answer now; try again."


class Internal(Fault):
    """Our mistake."""

    code = grpc.StatusCode.INTERNAL
    default_reason = "INTERNAL"
    default_message = "The service failed; the trace id leads to the cause."


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(math.ceil(seconds * 1000))
    return duration
