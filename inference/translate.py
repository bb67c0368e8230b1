"""Between the contract's messages and the engine's values. What gets through is valid."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from google.protobuf.duration_pb2 import Duration

from inference.engine.request import (
    Constraint,
    FinishReason,
    Grammar,
    JsonSchema,
    Priority,
    Regex,
    Sampling,
    Timings,
    TokenLogprob,
    Usage,
)
from inference.models.card import ModelCard, Quantization
from inference.models.chat import ChatMessage, Role
from servicekit.errors import InvalidArgument, Violation
from vedette.inference.v1 import inference_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from inference.models.chat import ChatTokenizer

__all__ = [
    "finish_reason",
    "logprobs",
    "messages",
    "model",
    "priority",
    "sampling",
    "timings",
    "usage",
]

_ROLES = {
    pb.ROLE_SYSTEM: Role.SYSTEM,
    pb.ROLE_USER: Role.USER,
    pb.ROLE_ASSISTANT: Role.ASSISTANT,
    pb.ROLE_TOOL: Role.TOOL,
    pb.ROLE_DOCUMENT: Role.DOCUMENT,
}
_PRIORITIES = {
    pb.PRIORITY_UNSPECIFIED: Priority.NORMAL,
    pb.PRIORITY_LOW: Priority.LOW,
    pb.PRIORITY_NORMAL: Priority.NORMAL,
    pb.PRIORITY_HIGH: Priority.HIGH,
}
_FINISH_REASONS = {
    FinishReason.STOP: pb.FINISH_REASON_STOP,
    FinishReason.LENGTH: pb.FINISH_REASON_LENGTH,
    FinishReason.TIME_LIMIT: pb.FINISH_REASON_TIME_LIMIT,
    FinishReason.CANCELLED: pb.FINISH_REASON_CANCELLED,
    FinishReason.ERROR: pb.FINISH_REASON_ERROR,
}
_QUANTIZATIONS = {
    Quantization.NONE: pb.QUANTIZATION_NONE,
    Quantization.NF4: pb.QUANTIZATION_NF4,
    Quantization.INT8: pb.QUANTIZATION_INT8,
    Quantization.INT4: pb.QUANTIZATION_INT4,
}
_MAX_STOPS = 16
_MAX_LOGPROBS = 20


def messages(conversation: Iterable[pb.Message]) -> list[ChatMessage]:
    """The conversation.

    Raises:
        InvalidArgument: if it is empty, or a message has no known role or no text.
    """
    listed = list(conversation)
    violations = list(_message_violations(listed))
    if violations:
        raise InvalidArgument(violations)
    return [ChatMessage(_ROLES[message.role], message.text) for message in listed]


def _message_violations(conversation: list[pb.Message]) -> Iterator[Violation]:
    if not conversation:
        yield Violation("messages", "must have at least one message")
    for index, message in enumerate(conversation):
        if message.role not in _ROLES:
            yield Violation(
                f"messages[{index}].role",
                "must be one of ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT, ROLE_TOOL, ROLE_DOCUMENT",
            )
        if not message.text:
            yield Violation(f"messages[{index}].text", "must not be empty")


def priority(value: pb.Priority.ValueType) -> Priority:
    """The place in the queue.

    Raises:
        InvalidArgument: if it is not one of the contract's.
    """
    if value not in _PRIORITIES:
        raise InvalidArgument(
            [Violation("priority", "must be PRIORITY_LOW, PRIORITY_NORMAL or PRIORITY_HIGH")]
        )
    return _PRIORITIES[value]


def sampling(asked: pb.Sampling, *, card: ModelCard, default_new_tokens: int) -> Sampling:
    """The sampling parameters, with defaults where nothing is asked.

    Raises:
        InvalidArgument: naming every field that is out of range.
    """
    max_new_tokens = min(default_new_tokens, card.max_new_tokens)
    if asked.HasField("max_new_tokens"):
        max_new_tokens = asked.max_new_tokens
    violations = [
        *_number_violations(asked, card),
        *_length_violations(asked, max_new_tokens, card),
        *_stop_violations(asked),
        *_token_violations(asked, card),
    ]
    if violations:
        raise InvalidArgument(violations)
    return Sampling(
        max_new_tokens=max_new_tokens,
        min_new_tokens=asked.min_new_tokens,
        temperature=asked.temperature,
        top_k=asked.top_k,
        top_p=asked.top_p if asked.HasField("top_p") else 1.0,
        min_p=asked.min_p,
        repetition_penalty=asked.repetition_penalty
        if asked.HasField("repetition_penalty")
        else 1.0,
        presence_penalty=asked.presence_penalty,
        frequency_penalty=asked.frequency_penalty,
        seed=asked.seed if asked.HasField("seed") else secrets.randbits(63),
        stop=tuple(asked.stop),
        stop_token_ids=frozenset(asked.stop_token_ids),
        logit_bias=tuple(sorted(asked.logit_bias.items())),
        logprobs=asked.logprobs if asked.HasField("logprobs") else None,
        constraint=_constraint(asked),
    )


_Test: TypeAlias = Callable[[float], bool]
# Field, rule in words, test. NaN passes no comparison, so it is refused everywhere.
_NUMBERS: tuple[tuple[str, str, _Test], ...] = (
    ("temperature", "must be from 0 to 2", lambda x: 0 <= x <= 2),
    ("top_p", "must be above 0 and at most 1", lambda x: 0 < x <= 1),
    ("top_k", "must be at least 1; leave it out to keep all tokens", lambda x: x >= 1),
    ("min_p", "must be from 0 to 1", lambda x: 0 <= x <= 1),
    ("repetition_penalty", "must be above 0 and finite", lambda x: 0 < x < math.inf),
    ("presence_penalty", "must be from -2 to 2", lambda x: -2 <= x <= 2),
    ("frequency_penalty", "must be from -2 to 2", lambda x: -2 <= x <= 2),
    ("logprobs", f"must be from 0 to {_MAX_LOGPROBS}", lambda x: 0 <= x <= _MAX_LOGPROBS),
)


def _number_violations(asked: pb.Sampling, card: ModelCard) -> Iterator[Violation]:
    for name, rule, holds in _NUMBERS:
        if _has(asked, name) and not holds(getattr(asked, name)):
            yield Violation(f"sampling.{name}", rule)
    if asked.logprobs > card.vocabulary_size:
        yield Violation("sampling.logprobs", f"must be at most {card.vocabulary_size}")


def _has(message: Any, field: str) -> bool:
    return bool(message.HasField(field))


def _length_violations(
    asked: pb.Sampling, max_new_tokens: int, card: ModelCard
) -> Iterator[Violation]:
    if not 1 <= max_new_tokens <= card.max_new_tokens:
        yield Violation(
            "sampling.max_new_tokens", f"must be from 1 to {card.max_new_tokens} for this model"
        )
    if not 0 <= asked.min_new_tokens <= max(0, max_new_tokens):
        yield Violation("sampling.min_new_tokens", "must be from 0 to max_new_tokens")


def _stop_violations(asked: pb.Sampling) -> Iterator[Violation]:
    if len(asked.stop) > _MAX_STOPS:
        yield Violation("sampling.stop", f"must have at most {_MAX_STOPS} strings")
    for index, stop in enumerate(asked.stop):
        if not stop:
            yield Violation(f"sampling.stop[{index}]", "must not be empty")


def _token_violations(asked: pb.Sampling, card: ModelCard) -> Iterator[Violation]:
    rule = f"must be a token of this model, from 0 to {card.vocabulary_size - 1}"
    for index, token in enumerate(asked.stop_token_ids):
        if not 0 <= token < card.vocabulary_size:
            yield Violation(f"sampling.stop_token_ids[{index}]", rule)
    for token, bias in asked.logit_bias.items():
        if not 0 <= token < card.vocabulary_size:
            yield Violation(f"sampling.logit_bias[{token}]", rule)
        if not -100 <= bias <= 100:
            yield Violation(f"sampling.logit_bias[{token}]", "must be from -100 to 100")


def _constraint(asked: pb.Sampling) -> Constraint | None:
    kinds: dict[str | None, type[Constraint]] = {
        "json_schema": JsonSchema,
        "regex": Regex,
        "grammar": Grammar,
    }
    kind = asked.WhichOneof("constraint")
    return None if kind is None else kinds[kind](getattr(asked, kind))


def finish_reason(reason: FinishReason) -> pb.FinishReason.ValueType:
    """Why an answer ended."""
    return _FINISH_REASONS[reason]


def usage(used: Usage) -> pb.Usage:
    """What a request consumed."""
    return pb.Usage(
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cached_tokens=used.cached_tokens,
    )


def timings(times: Timings) -> pb.Timings:
    """Where the time went; a phase that never began is left out."""
    message = pb.Timings()
    marks = (times.arrived_s, times.scheduled_s, times.first_token_s, times.finished_s)
    phases = (message.queue, message.prefill, message.decode)
    for phase, start_s, end_s in zip(phases, marks, marks[1:], strict=False):
        if start_s is not None and end_s is not None:
            phase.CopyFrom(_duration(end_s - start_s))
    return message


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(max(0, round(seconds * 1e9)))
    return duration


def logprobs(entries: Iterable[TokenLogprob], tokenizer: ChatTokenizer) -> list[pb.TokenLogprob]:
    """Tokens with their probabilities, as text too."""
    return [
        pb.TokenLogprob(
            token_id=entry.token_id,
            token=tokenizer.token_text(entry.token_id),
            logprob=entry.logprob,
            alternatives=[
                pb.TokenAlternative(
                    token_id=token, token=tokenizer.token_text(token), logprob=logprob
                )
                for token, logprob in entry.alternatives
            ],
        )
        for entry in entries
    ]


def model(card: ModelCard, *, is_default: bool) -> pb.Model:
    """A model card."""
    return pb.Model(
        name=card.name,
        revision=card.revision,
        license=card.license,
        quantization=_QUANTIZATIONS[card.quantization],
        context_length=card.context_length,
        max_new_tokens=card.max_new_tokens,
        parameters=card.parameters,
        weight_bytes=card.weight_bytes,
        cache_bytes=card.cache_bytes,
        device=card.device,
        vocabulary_size=card.vocabulary_size,
        is_default=is_default,
    )
