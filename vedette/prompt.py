"""Prompts as short to write as they are to say.

A role is a trust label: guards treat an order inside a document as an attack, and the same words
from the user as a request. Say `document("…")` for whatever your program did not write itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias, TypedDict

from vedette.gateway.v1 import gateway_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Prompt",
    "SamplingOptions",
    "as_messages",
    "as_sampling",
    "assistant",
    "document",
    "system",
    "tool",
    "user",
]

Prompt: TypeAlias = str | pb.Message | Sequence[pb.Message]
"""What to answer: the words of a user, one message, or a conversation."""


class SamplingOptions(TypedDict, total=False):
    """How to pick tokens; what is left out takes the model's default. See `Sampling`."""

    max_new_tokens: int
    min_new_tokens: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    seed: int
    stop: Sequence[str]
    stop_token_ids: Sequence[int]
    logit_bias: Mapping[int, float]
    logprobs: int
    json_schema: str
    regex: str
    grammar: str


def system(text: str) -> pb.Message:
    """The application's own instructions."""
    return pb.Message(role=pb.ROLE_SYSTEM, text=text)


def user(text: str) -> pb.Message:
    """What the person or program being served says."""
    return pb.Message(role=pb.ROLE_USER, text=text)


def assistant(text: str) -> pb.Message:
    """An earlier answer of the model."""
    return pb.Message(role=pb.ROLE_ASSISTANT, text=text)


def tool(text: str) -> pb.Message:
    """What a tool returned."""
    return pb.Message(role=pb.ROLE_TOOL, text=text)


def document(text: str) -> pb.Message:
    """A retrieved document."""
    return pb.Message(role=pb.ROLE_DOCUMENT, text=text)


def as_messages(prompt: Prompt) -> list[pb.Message]:
    """The conversation that a prompt stands for; a string is a user's message.

    Raises:
        TypeError: it is something else.
    """
    if isinstance(prompt, str):
        return [user(prompt)]
    if isinstance(prompt, pb.Message):
        return [prompt]
    if isinstance(prompt, Sequence):
        messages = [message for message in prompt if isinstance(message, pb.Message)]
        if len(messages) == len(prompt):
            return messages
    raise TypeError(
        "A prompt is a string, a message or a sequence of messages; "
        'make messages by system("..."), user("...") and their like.'
    )


def as_sampling(options: SamplingOptions) -> pb.Sampling:
    """The sampling part of a request.

    Raises:
        TypeError: there is no such option, or its value is of another type.
        ValueError: the value is beyond what the option can hold.
    """
    sampling = pb.Sampling()
    for name, value in options.items():
        if name not in SamplingOptions.__annotations__:
            raise TypeError(f"{name} is no sampling option.")
        try:
            sampling.MergeFrom(pb.Sampling(**{name: value}))  # type: ignore[arg-type]
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name}: {error}") from None
    return sampling
