"""How many tokens a prompt can have at most, without asking the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.answer import Request

__all__ = ["token_bound"]

# What a chat template puts around each message, and around all of them; generous.
_TOKENS_PER_MESSAGE = 16
_TOKENS_PER_PROMPT = 64


def token_bound(request: Request) -> int:
    """At least as many tokens as the prompt has: no tokenizer makes more tokens than bytes."""
    size = sum(len(message.text.encode()) for message in request.messages)
    return size + _TOKENS_PER_MESSAGE * len(request.messages) + _TOKENS_PER_PROMPT
