"""What can go wrong with a call, as the caller sees it.

    VedetteError
        RequestError                 the same request will fail again: change it
            InvalidArgumentError     INVALID_ARGUMENT, OUT_OF_RANGE
            UnauthenticatedError     UNAUTHENTICATED
            PermissionDeniedError    PERMISSION_DENIED
            NotFoundError            NOT_FOUND
            AlreadyExistsError       ALREADY_EXISTS
            FailedPreconditionError  FAILED_PRECONDITION
            UnimplementedError       UNIMPLEMENTED
        TransientError               the same request may succeed later
            ExhaustedError           RESOURCE_EXHAUSTED
            UnavailableError         UNAVAILABLE
            DeadlineExceededError    DEADLINE_EXCEEDED
            AbortedError             ABORTED
        CallCancelledError           CANCELLED
        ServiceError                 the service is at fault
            InternalError            INTERNAL, UNKNOWN, DATA_LOSS
            AttestationError         found by the client: the answer is not what the service attests

A block by a guard is an answer, not an error, and is not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import (
    BadRequest,
    ErrorInfo,
    PreconditionFailure,
    QuotaFailure,
    RetryInfo,
)
from google.rpc.status_pb2 import Status

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "AbortedError",
    "AlreadyExistsError",
    "AttestationError",
    "CallCancelledError",
    "DeadlineExceededError",
    "ExhaustedError",
    "FailedPreconditionError",
    "FieldViolation",
    "InternalError",
    "InvalidArgumentError",
    "NotFoundError",
    "PermissionDeniedError",
    "PreconditionViolation",
    "QuotaViolation",
    "RequestError",
    "ServiceError",
    "TransientError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "VedetteError",
    "from_rpc_error",
]

_DETAILS_KEY: Final = "grpc-status-details-bin"
_DETAIL_TYPES: Final[tuple[type[Message], ...]] = (
    ErrorInfo,
    BadRequest,
    RetryInfo,
    QuotaFailure,
    PreconditionFailure,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldViolation:
    """One field of the request that breaks a rule."""

    field: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaViolation:
    """One limit that was reached."""

    subject: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PreconditionViolation:
    """One condition that has to hold before the request can be served."""

    type: str
    subject: str
    description: str


class VedetteError(Exception):
    """A call failed.

    Attributes:
        code: The gRPC status.
        reason: The service's stable name for the cause, in UPPER_SNAKE; empty if it gave none,
            as when the connection itself failed.
        message: One sentence for a developer; never content of a prompt or an answer.
        metadata: Facts that belong to the reason.
        violations: The fields of the request that break rules.
        preconditions: The conditions that have to hold first.
        quotas: The limits that were reached.
        retry_after_s: How long to wait before trying again; None if the service did not say.
        trace_id: The trace of the call as 32 hexadecimal digits; None if it is not known.

    """

    default_code: grpc.StatusCode = grpc.StatusCode.UNKNOWN

    def __init__(  # noqa: PLR0913  # one keyword a fact of google.rpc
        self,
        message: str,
        *,
        code: grpc.StatusCode | None = None,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: tuple[FieldViolation, ...] = (),
        preconditions: tuple[PreconditionViolation, ...] = (),
        quotas: tuple[QuotaViolation, ...] = (),
        retry_after_s: float | None = None,
        trace_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.violations = violations
        self.preconditions = preconditions
        self.quotas = quotas
        self.retry_after_s = retry_after_s
        self.trace_id = trace_id

    def __str__(self) -> str:
        name = self.reason or self.code.name
        fields = "; ".join(f"{v.field}: {v.description}" for v in self.violations)
        return f"{name}: {self.message}" + (f" ({fields})" if fields else "")


class RequestError(VedetteError):
    """The same request will fail again; it has to change."""


class InvalidArgumentError(RequestError):
    """The request breaks a rule; `violations` names each field and its rule."""

    default_code = grpc.StatusCode.INVALID_ARGUMENT


class UnauthenticatedError(RequestError):
    """The credential is missing or unknown."""

    default_code = grpc.StatusCode.UNAUTHENTICATED


class PermissionDeniedError(RequestError):
    """The credential does not allow this."""

    default_code = grpc.StatusCode.PERMISSION_DENIED


class NotFoundError(RequestError):
    """Something that the request names does not exist: a model, a policy, a request."""

    default_code = grpc.StatusCode.NOT_FOUND


class AlreadyExistsError(RequestError):
    """Something that the request would create exists."""

    default_code = grpc.StatusCode.ALREADY_EXISTS


class FailedPreconditionError(RequestError):
    """A condition has to hold first; `preconditions` names it."""

    default_code = grpc.StatusCode.FAILED_PRECONDITION


class UnimplementedError(RequestError):
    """This service does not offer the method."""

    default_code = grpc.StatusCode.UNIMPLEMENTED


class TransientError(VedetteError):
    """The same request may succeed later, after `retry_after_s` if that is set."""


class ExhaustedError(TransientError):
    """A limit or a budget was reached; `quotas` names it."""

    default_code = grpc.StatusCode.RESOURCE_EXHAUSTED


class UnavailableError(TransientError):
    """The service, or one that it depends on, cannot be reached or is not ready."""

    default_code = grpc.StatusCode.UNAVAILABLE


class DeadlineExceededError(TransientError):
    """The deadline passed before the answer was complete."""

    default_code = grpc.StatusCode.DEADLINE_EXCEEDED


class AbortedError(TransientError):
    """The service gave up on the call in favour of another one."""

    default_code = grpc.StatusCode.ABORTED


class CallCancelledError(VedetteError):
    """The call was cancelled, by the other side or by closing the client while it ran."""

    default_code = grpc.StatusCode.CANCELLED


class ServiceError(VedetteError):
    """The service is at fault; its log knows more under the trace id."""


class InternalError(ServiceError):
    """The service failed in a way that it does not explain to callers."""

    default_code = grpc.StatusCode.INTERNAL


class AttestationError(ServiceError):
    """The text that arrived is not the text that the service attests: do not use it."""

    default_code = grpc.StatusCode.DATA_LOSS


_CLASSES: Final[dict[grpc.StatusCode, type[VedetteError]]] = {
    grpc.StatusCode.CANCELLED: CallCancelledError,
    grpc.StatusCode.UNKNOWN: InternalError,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgumentError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceededError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExistsError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
    grpc.StatusCode.UNAUTHENTICATED: UnauthenticatedError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ExhaustedError,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPreconditionError,
    grpc.StatusCode.ABORTED: AbortedError,
    grpc.StatusCode.OUT_OF_RANGE: InvalidArgumentError,
    grpc.StatusCode.UNIMPLEMENTED: UnimplementedError,
    grpc.StatusCode.INTERNAL: InternalError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DATA_LOSS: InternalError,
    # A call that failed with OK broke the protocol.
    grpc.StatusCode.OK: InternalError,
}


def from_rpc_error(error: grpc.aio.AioRpcError) -> VedetteError:
    """What a failed call means.

    Total over all status codes; details that are missing or malformed are left out, never raised.
    """
    facts: dict[str, Any] = {}
    for detail in _details(error):
        facts.update(_facts(detail))
    code = error.code()
    error_type = _CLASSES.get(code, InternalError)
    return error_type(error.details() or "The call failed.", code=code, **facts)


def _details(error: grpc.aio.AioRpcError) -> list[Message]:
    """The google.rpc details that can be read."""
    status = Status()
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                status.ParseFromString(value)
            except DecodeError:
                return []
    return [detail for packed in status.details if (detail := _unpack(packed)) is not None]


def _unpack(packed: Any) -> Message | None:
    for message_type in _DETAIL_TYPES:
        if packed.Is(message_type.DESCRIPTOR):
            detail = message_type()
            try:
                packed.Unpack(detail)
            except DecodeError:
                return None
            return detail
    return None


def _facts(detail: Message) -> dict[str, Any]:
    """The keyword arguments of VedetteError that one detail stands for."""
    match detail:
        case ErrorInfo():
            return {"reason": detail.reason, "metadata": dict(detail.metadata)}
        case BadRequest():
            return {
                "violations": tuple(
                    FieldViolation(field=v.field, description=v.description)
                    for v in detail.field_violations
                )
            }
        case RetryInfo():
            delay = detail.retry_delay
            return {"retry_after_s": max(0.0, delay.seconds + delay.nanos / 1e9)}
        case QuotaFailure():
            return {
                "quotas": tuple(
                    QuotaViolation(subject=v.subject, description=v.description)
                    for v in detail.violations
                )
            }
        case PreconditionFailure():
            return {
                "preconditions": tuple(
                    PreconditionViolation(type=v.type, subject=v.subject, description=v.description)
                    for v in detail.violations
                )
            }
    return {}
