"""The models that this process serves, by name."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inference.engine.request import Priority, Request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.engine.guide import Guide, GuideMaker
    from inference.engine.request import Sampling
    from inference.models.card import ModelCard
    from inference.models.chat import ChatMessage, ChatTokenizer
    from inference.worker import Answer, EngineWorker

__all__ = ["Catalogue", "Endpoint", "NotReadyError", "UnknownModelError"]


class UnknownModelError(Exception):
    """No model of this name is served here."""


class NotReadyError(Exception):
    """The models are still being loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A model and the engine that runs it."""

    card: ModelCard
    tokenizer: ChatTokenizer
    worker: EngineWorker
    default_new_tokens: int
    guides: GuideMaker
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def encode(self, messages: Sequence[ChatMessage]) -> tuple[int, ...]:
        """The prompt's tokens. Takes a while for long texts: call it in a thread.

        Raises:
            PromptTooLongError: if the text cannot fit the context however it is tokenized.
            TemplateRefusedError: if the model does not take these roles in this order.
        """
        return self.tokenizer.encode(messages, context_length=self.card.context_length)

    def submit(  # noqa: PLR0913 - what a request says of itself, each under its name
        self,
        prompt: tuple[int, ...],
        sampling: Sampling,
        *,
        deadline_s: float = float("inf"),
        tenant: str = "",
        priority: Priority = Priority.NORMAL,
        guide: Guide | None = None,
    ) -> Answer:
        """Continue a prompt; see `EngineWorker.submit`."""
        request = Request(
            id=next(self._numbers),
            prompt=prompt,
            sampling=sampling,
            deadline_s=deadline_s,
            tenant=tenant,
            priority=priority,
            guide=guide,
        )
        return self.worker.submit(request)


class Catalogue:
    """The endpoints, the default first. Empty until the models are loaded."""

    def __init__(self) -> None:
        """Start empty."""
        self._endpoints: dict[str, Endpoint] = {}

    def add(self, endpoint: Endpoint) -> None:
        """Offer a model; the first one is the default."""
        self._endpoints[endpoint.card.name] = endpoint

    def get(self, name: str) -> Endpoint:
        """The model of this name; the default for the empty name.

        Raises:
            NotReadyError: if no model is loaded yet.
            UnknownModelError: if there is no such model.
        """
        if not self._endpoints:
            raise NotReadyError
        if not name:
            return next(iter(self._endpoints.values()))
        if name not in self._endpoints:
            raise UnknownModelError
        return self._endpoints[name]

    def all(self) -> list[Endpoint]:
        """Every model, the default first."""
        return list(self._endpoints.values())
