"""What a text stands in: whose it is, what it is for, and the conversation that led to it."""

from __future__ import annotations

from dataclasses import dataclass

from guardrails.findings import Role
from guardrails.pseudonyms import Scope

__all__ = ["Surroundings", "Text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text with its trust label."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """All that is known around one text; nothing of it can weaken a guard."""

    tenant: str = ""
    conversation_id: str = ""
    purpose: str = ""
    request_id: str = ""
    context: tuple[Text, ...] = ()

    @property
    def scope(self) -> Scope | None:
        """Where pseudonyms belong; None without a conversation."""
        if not self.conversation_id:
            return None
        return Scope(tenant=self.tenant, conversation_id=self.conversation_id)

    @property
    def system_prompts(self) -> tuple[str, ...]:
        """The application's own instructions in the conversation."""
        return tuple(text.text for text in self.context if text.role is Role.SYSTEM)
