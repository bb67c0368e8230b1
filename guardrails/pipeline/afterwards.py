"""What happens with a checked text besides its answer: a case for a person, a second opinion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrails.findings import Action, Direction, Finding, Role
    from guardrails.policy.compiled import CompiledPolicy
    from guardrails.review import Recorder
    from guardrails.window.surroundings import Surroundings

    from .shadow import Shadows

__all__ = ["Afterwards", "Outcome"]


class Outcome(Protocol):
    """What became of a text, and the text as far as it was scanned."""

    @property
    def action(self) -> Action:
        """The strictest action."""

    @property
    def findings(self) -> Sequence[Finding]:
        """What was found."""

    @property
    def original(self) -> str:
        """What was scanned until the verdict; empty unless it was to be kept."""


class Afterwards:
    """Takes note of checked texts; never waits and never fails."""

    def __init__(self, recorder: Recorder, shadows: Shadows) -> None:
        """Open cases with this recorder, ask these candidates."""
        self._recorder = recorder
        self._shadows = shadows

    def wants_text(self, policy: CompiledPolicy, direction: Direction) -> bool:
        """Whether `note` needs the original of a text."""
        return policy.asks(direction) or self._shadows.wants(policy)

    def note(
        self,
        outcome: Outcome,
        *,
        policy: CompiledPolicy,
        direction: Direction,
        role: Role,
        surroundings: Surroundings,
    ) -> str:
        """A text was checked; the name of the case that was opened for it, or nothing."""
        original = outcome.original
        self._shadows.note(
            original,
            outcome.action,
            outcome.findings,
            policy=policy,
            direction=direction,
            role=role,
            surroundings=surroundings,
        )
        return self._recorder.record(
            original,
            outcome.findings,
            policy=policy,
            direction=direction,
            role=role,
            surroundings=surroundings,
        )
