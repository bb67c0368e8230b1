"""What a caller asks of the engine, and what the engine answers."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from inference.engine.guide import Guide

__all__ = [
    "Constraint",
    "FinishReason",
    "Grammar",
    "JsonSchema",
    "Output",
    "Priority",
    "Refusal",
    "Regex",
    "Request",
    "Sampling",
    "Timings",
    "TokenLogprob",
    "Usage",
]


class FinishReason(enum.Enum):
    """Why an answer ended."""

    STOP = enum.auto()
    LENGTH = enum.auto()
    TIME_LIMIT = enum.auto()
    CANCELLED = enum.auto()
    ERROR = enum.auto()


class Priority(enum.IntEnum):
    """Where a request stands when there is more work than room."""

    LOW = 1
    NORMAL = 2
    HIGH = 3


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """The answer is a JSON text that this schema accepts."""

    text: str


@dataclass(frozen=True, slots=True)
class Regex:
    """The whole answer matches this regular expression."""

    text: str


@dataclass(frozen=True, slots=True)
class Grammar:
    """The answer is a sentence of this Lark grammar."""

    text: str


Constraint: TypeAlias = JsonSchema | Regex | Grammar


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How to pick tokens. The values are in range: whoever builds one has checked them."""

    max_new_tokens: int
    min_new_tokens: int = 0
    temperature: float = 0.0  # 0 is greedy
    top_k: int = 0  # 0 keeps all
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    stop_token_ids: frozenset[int] = frozenset()
    logit_bias: tuple[tuple[int, float], ...] = ()
    logprobs: int | None = None  # how many alternatives; None reports nothing
    constraint: Constraint | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One prompt to continue."""

    id: int
    prompt: tuple[int, ...]
    sampling: Sampling
    deadline_s: float = float("inf")  # on the engine's clock
    tenant: str = ""
    priority: Priority = Priority.NORMAL
    guide: Guide | None = None  # the constraint, compiled; belongs to this request alone


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request was not taken on: it cannot end before its deadline.

    Where the queue is to blame, `retry_after_s` says when it will be short enough; None means
    that even an idle engine would be too slow.
    """

    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What a request consumed, in tokens."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One token, how likely it was, and what else was likely."""

    token_id: int
    logprob: float
    alternatives: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """When things happened, on the engine's clock; None for what did not."""

    arrived_s: float
    scheduled_s: float | None = None
    first_token_s: float | None = None
    finished_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """News of one request.

    The first has timings; the last has a finish reason, usage and timings.
    """

    request_id: int
    text: str = ""
    new_tokens: int = 0
    logprobs: tuple[TokenLogprob, ...] = field(default=())
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    timings: Timings | None = None

    def merged(self, later: Output) -> Output:
        """This and later news of the same request as one."""
        return Output(
            request_id=self.request_id,
            text=self.text + later.text,
            new_tokens=self.new_tokens + later.new_tokens,
            logprobs=self.logprobs + later.logprobs,
            finish_reason=later.finish_reason,
            usage=later.usage,
            timings=later.timings or self.timings,
        )
