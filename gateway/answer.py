"""The facts that make up an answer, free of any wire format.

Enumerations have the numbers of the contract.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING, TypeAlias

from gateway.journal import Journal
from gateway.terms import Terms

if TYPE_CHECKING:
    from gateway.spoken import TokenLogprob

__all__ = [
    "Action",
    "Attestation",
    "CheckedPrompt",
    "Delta",
    "Direction",
    "Event",
    "Execution",
    "Final",
    "Finding",
    "FinishReason",
    "Message",
    "Request",
    "Role",
    "Started",
    "Usage",
]


class Role(IntEnum):
    """Who speaks; a trust label."""

    SYSTEM = 1
    USER = 2
    ASSISTANT = 3
    TOOL = 4
    DOCUMENT = 5


class FinishReason(IntEnum):
    """Why an answer ended."""

    STOP = 1
    LENGTH = 2
    BLOCKED = 3
    TIME_LIMIT = 4
    BUDGET = 5
    CANCELLED = 6
    ERROR = 7


class Direction(IntEnum):
    """Which way a text was going."""

    INPUT = 1
    OUTPUT = 2


class Action(IntEnum):
    """What a policy makes of a finding; later is stricter."""

    ALLOW = 1
    REDACT = 2
    REVIEW = 3
    BLOCK = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a caller asks for, after admission."""

    request_id: str
    tenant: str
    model: str
    messages: tuple[Message, ...]
    policy: str
    conversation_id: str | None
    # Passes through to inference, which owns its rules.
    sampling: bytes
    terms: Terms = field(default=Terms())
    # Whether asking again gives the same answer.
    deterministic: bool = False
    # Overrides what `sampling` says, where a budget allows less.
    max_new_tokens: int | None = None
    # Whether the caller asks how sure the model was of each token.
    with_logprobs: bool = False
    # Whether the caller reads along; if not, text moves between the services in one piece.
    streamed: bool = True
    journal: Journal = field(default_factory=Journal, compare=False)

    # The models that may stand in for the one asked for; `*` is any.
    models: frozenset[str] = frozenset({"*"})

    def may_use(self, model: str) -> bool:
        """Whether the caller may be answered by this model."""
        return "*" in self.models or model in self.models

    def with_texts(self, texts: tuple[str, ...]) -> Request:
        """The same request with the messages' texts exchanged, one for each."""
        if texts == tuple(message.text for message in self.messages):
            return self
        messages = tuple(
            replace(message, text=text) for message, text in zip(self.messages, texts, strict=True)
        )
        return replace(self, messages=messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something a guard found: where and what, never the text itself."""

    detector: str
    category: str
    start: int
    end: int
    score: float
    action: Action
    rule_id: str
    direction: Direction
    message_index: int = 0
    # As on the wire; 0 where it is not said.
    treatment: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """What became of one detector; `state` and `duration_ns` as on the wire."""

    detector: str
    state: int
    score: float
    duration_ns: int
    version: str
    direction: Direction


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedPrompt:
    """What the guard made of a prompt: a text for each message, in their order."""

    blocked: bool
    texts: tuple[str, ...]
    findings: tuple[Finding, ...]
    executions: tuple[Execution, ...]
    policy_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """What was scanned and released."""

    released_chars: int
    scanned_chars: int
    released_sha256: str
    policy_digest: str
    detectors: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a call consumed, in tokens."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The request was accepted."""

    model: str
    policy_digest: str
    buffered: bool = False


@dataclass(frozen=True, slots=True)
class Delta:
    """Text that may be shown."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Final:
    """The end of the answer."""

    finish_reason: FinishReason
    usage: Usage
    attestation: Attestation
    model: str
    executions: tuple[Execution, ...] = field(default=())
    logprobs: tuple[TokenLogprob, ...] = ()


Event: TypeAlias = Started | Delta | Finding | Final
