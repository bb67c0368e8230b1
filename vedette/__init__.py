"""What a caller of Vedette imports.

The client, the words a prompt is made of, the events of an answer, and what can go wrong.
"""

from __future__ import annotations

from vedette.answer import AnswerStream, Event
from vedette.client import Client
from vedette.errors import (
    AbortedError,
    AlreadyExistsError,
    AttestationError,
    CallCancelledError,
    DeadlineExceededError,
    ExhaustedError,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    RequestError,
    ServiceError,
    TransientError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
    VedetteError,
)
from vedette.gateway.v1.gateway_pb2 import (
    Action,
    Delta,
    Direction,
    Final,
    Finding,
    FinishReason,
    GenerateResponse,
    Message,
    Role,
    Started,
    Treatment,
)
from vedette.prompt import assistant, document, system, tool, user

__all__ = [
    "AbortedError",
    "Action",
    "AlreadyExistsError",
    "AnswerStream",
    "AttestationError",
    "CallCancelledError",
    "Client",
    "DeadlineExceededError",
    "Delta",
    "Direction",
    "Event",
    "ExhaustedError",
    "FailedPreconditionError",
    "Final",
    "Finding",
    "FinishReason",
    "GenerateResponse",
    "InternalError",
    "InvalidArgumentError",
    "Message",
    "NotFoundError",
    "PermissionDeniedError",
    "RequestError",
    "Role",
    "ServiceError",
    "Started",
    "TransientError",
    "Treatment",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "VedetteError",
    "assistant",
    "document",
    "system",
    "tool",
    "user",
]
