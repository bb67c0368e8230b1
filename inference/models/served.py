"""A model ready to run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inference.engine.runner import Runner
    from inference.models.card import ModelCard
    from inference.models.chat import ChatTokenizer

__all__ = ["ServedModel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """What a backend hands to whoever serves it."""

    card: ModelCard
    tokenizer: ChatTokenizer
    runner: Runner
    default_new_tokens: int
