"""What happens with a checked text besides its answer: a case for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .findings import Direction, Finding, Role
    from .policy.compiled import CompiledPolicy
    from .review import Recorder
    from .surroundings import Surroundings

__all__ = ["Afterwards"]


class _Outcome(Protocol):
    @property
    def findings(self) -> Sequence[Finding]:
        """What was found."""


class Afterwards:
    """Takes note of checked texts; never waits and never fails."""

    def __init__(self, recorder: Recorder) -> None:
        """Open cases with this recorder."""
        self._recorder = recorder

    def wants_text(self, policy: CompiledPolicy, direction: Direction) -> bool:
        """Whether `note` needs the original of a text."""
        return policy.asks(direction)

    def note(  # noqa: PLR0913 - a text and all that it stands in
        self,
        original: str,
        outcome: _Outcome,
        *,
        policy: CompiledPolicy,
        direction: Direction,
        role: Role,
        surroundings: Surroundings,
    ) -> str:
        """A text was checked; the name of the case that was opened for it, or nothing."""
        return self._recorder.record(
            original,
            outcome.findings,
            policy=policy,
            direction=direction,
            role=role,
            surroundings=surroundings,
        )
