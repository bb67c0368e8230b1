"""From a conversation to the tokens of a prompt.

Chat templates know three roles. The two others of the contract carry data, never instructions:
a tool's result and a retrieved document reach the model inside a user turn, between markers that
say what they are. Consecutive turns of the same template role stay separate turns.

The text of a message never becomes a control token. Where it spells one (`<|im_end|>`), the
tokenizer is made to read it as ordinary text, so a message cannot end its own turn.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

from inference.models.template import ChatTemplate, TemplateRefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ChatMessage", "ChatTokenizer", "PromptTooLongError", "Role", "TemplateRefusedError"]

_FALLBACK_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


class Role(enum.Enum):
    """Who speaks; a trust label."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"
    DOCUMENT = "document"


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One turn of a conversation."""

    role: Role
    text: str


class PromptTooLongError(Exception):
    """The conversation is far longer than any model takes; it was not tokenized."""


class ChatTokenizer:
    """A tokenizer with its chat template. Safe to use from several threads."""

    def __init__(
        self,
        *,
        backend: Tokenizer,
        template: str | None,
        end_ids: frozenset[int],
        template_tokens: dict[str, str],
    ) -> None:
        """Take the tokenizer over; its truncation and padding are switched off.

        Args:
            backend: the tokenizer.
            template: the Jinja chat template; None for a plain one.
            end_ids: tokens that end an answer.
            template_tokens: what templates may name, for example `bos_token`.
        """
        backend.no_truncation()
        backend.no_padding()
        self.backend = backend
        self.end_ids = end_ids
        self.size = backend.get_vocab_size(with_added_tokens=True)
        self._template = ChatTemplate(template or _FALLBACK_TEMPLATE, tokens=template_tokens)
        self._controls = tuple(
            token.content for token in backend.get_added_tokens_decoder().values()
        )
        self._longest_token = max(map(len, backend.get_vocab()), default=1)
        # A copy of its own, because the switch belongs to the whole tokenizer.
        self._literal = Tokenizer.from_str(backend.to_str())
        self._literal.encode_special_tokens = True

    def encode(self, messages: Sequence[ChatMessage], *, context_length: int) -> tuple[int, ...]:
        """The prompt that asks for the next turn.

        Raises:
            PromptTooLongError: if the text cannot fit the context however it is tokenized.
            TemplateRefusedError: if the template does not take these roles in this order.
        """
        if sum(len(message.text) for message in messages) > context_length * self._longest_token:
            raise PromptTooLongError
        turns = [_turn(message) for message in messages]
        if any(control in message.text for message in messages for control in self._controls):
            return self._encode_guarded(turns)
        return tuple(
            self.backend.encode(self._template.render(turns), add_special_tokens=False).ids
        )

    def encode_text(self, text: str) -> list[int]:
        """The tokens of a text in which nothing is a control token."""
        ids: list[int] = self._literal.encode(text, add_special_tokens=False).ids
        return ids

    def token_text(self, token: int) -> str:
        """One token as text; part of a character shows as U+FFFD."""
        return self.backend.decode([token], skip_special_tokens=False)

    def _encode_guarded(self, turns: list[dict[str, str]]) -> tuple[int, ...]:
        """Tokenize the template's own text and the messages' apart."""
        # A private-use character pair with a number stands for each message's text.
        marks = [f"\ue000{index}\ue001" for index in range(len(turns))]
        rest = self._template.render(
            [turn | {"content": mark} for turn, mark in zip(turns, marks, strict=True)]
        )
        tokens: list[int] = []
        for turn, mark in zip(turns, marks, strict=True):
            before, found, rest = rest.partition(mark)
            if not found:
                raise TemplateRefusedError
            tokens += self.backend.encode(before, add_special_tokens=False).ids
            tokens += self.encode_text(turn["content"])
        return (*tokens, *self.backend.encode(rest, add_special_tokens=False).ids)


def _turn(message: ChatMessage) -> dict[str, str]:
    if message.role is Role.TOOL:
        return {"role": "user", "content": f"[tool result]\n{message.text}\n[end of tool result]"}
    if message.role is Role.DOCUMENT:
        return {"role": "user", "content": f"[document]\n{message.text}\n[end of document]"}
    return {"role": message.role.value, "content": message.text}
