"""A policy bound to the detectors of this process, ready to open windows."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from guardrails.findings import Direction, Execution, ExecutionState, Role, Treatment
from guardrails.window.glances import Onlooker
from guardrails.window.lanes import Lane, LaneSettings
from guardrails.window.surroundings import Surroundings
from guardrails.window.window import GuardWindow

from .rails import railed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from guardrails.classifier import ClassifierJudge
    from guardrails.pseudonyms import Restorer
    from guardrails.window.glances import Glances
    from guardrails.window.lanes import Detector
    from guardrails.window.redaction import Redactor

__all__ = ["CompiledPolicy", "Plan", "Planned", "ReviewTerms"]

# The detector whose categories purposes are about.
MINIMISED = "pii"

_NOWHERE = Surroundings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A detector at work in one direction, with what holds for each role that it looks at."""

    detector: Detector
    by_role: Mapping[Role, LaneSettings]

    @property
    def treatments(self) -> frozenset[Treatment]:
        """Every treatment that can occur."""
        return frozenset().union(*(settings.treatments for settings in self.by_role.values()))

    @property
    def blocks_on_failure(self) -> bool:
        """Whether a text that it could not check is blocked."""
        return any(settings.blocks_on_failure for settings in self.by_role.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Who looks at texts of one role, and with what settings; and who does not."""

    looking: tuple[tuple[Detector, LaneSettings], ...]
    skipped: tuple[Execution, ...]

    @staticmethod
    def of(planned: Iterable[Planned], role: Role) -> Cast:
        """The cast for this role."""
        looking, skipped = [], []
        for each in planned:
            settings = each.by_role.get(role)
            if settings is None:
                skipped.append(_skipped(each.detector))
            else:
                looking.append((each.detector, settings))
        return Cast(looking=tuple(looking), skipped=tuple(skipped))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One direction of a policy, and what is asked for every text under it."""

    planned: tuple[Planned, ...]
    whole: bool
    casts: Mapping[Role, Cast] = field(init=False)
    # Every treatment that can occur, and whether one of them asks a person or hides a value.
    treatments: frozenset[Treatment] = field(init=False)
    asks: bool = field(init=False)
    pseudonymizes: bool = field(init=False)
    # Tells which of the detectors need not look at a piece of text, if it knows them.
    glances: Glances | None = None

    def __post_init__(self) -> None:
        """Work out what follows from what is planned."""
        treatments = frozenset[Treatment]().union(*(each.treatments for each in self.planned))
        derived = {
            "casts": {role: Cast.of(self.planned, role) for role in Role},
            "treatments": treatments,
            "asks": any(treatment.asks for treatment in treatments),
            "pseudonymizes": Treatment.PSEUDONYMIZE in treatments,
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewTerms:
    """What is kept of a case that waits for a person, and for how many seconds."""

    keep_text: bool
    ttl_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledPolicy:
    """A named policy; immutable, shared by every request under it."""

    name: str
    description: str
    digest: str
    plans: Mapping[Direction, Plan]
    purposes: Mapping[str, frozenset[str]]
    restores_output: bool
    reviews: ReviewTerms
    # The policy beside which this one runs without acting; empty if none.
    shadow_of: str = ""
    # Larger models that it names itself, by the name of their detector.
    judges: Mapping[str, ClassifierJudge] = field(default_factory=dict)

    def open(  # noqa: PLR0913 - everything that makes a window, by name
        self,
        *,
        direction: Direction,
        role: Role,
        clock: Callable[[], float],
        surroundings: Surroundings = _NOWHERE,
        redactor: Redactor | None = None,
        restorer: Restorer | None = None,
        secret: bytes = b"",
    ) -> GuardWindow:
        """Begin a text. Detectors that the policy does not ask for here are marked as skipped.

        `secret` is the key of the marks around texts that nobody vouches for.
        """
        plan = self.plans[direction]
        cast = plan.casts[role]
        lanes = [
            Lane(
                detector=detector,
                settings=self._for_purpose(detector, settings, surroundings.purpose),
                surroundings=surroundings,
                clock=clock,
            )
            for detector, settings in cast.looking
        ]
        return GuardWindow(
            lanes,
            skipped=cast.skipped,
            whole=plan.whole,
            rail=functools.partial(railed, role=role, secret=secret),
            policy_digest=self.digest,
            redactor=redactor,
            restorer=restorer,
            onlooker=None if plan.glances is None else Onlooker(plan.glances),
        )

    def _for_purpose(
        self, detector: Detector, settings: LaneSettings, purpose: str
    ) -> LaneSettings:
        if not purpose or detector.name != MINIMISED:
            return settings
        return dataclasses.replace(settings, sees=self.purposes[purpose])

    def pseudonymizes(self, direction: Direction) -> bool:
        """Whether texts in this direction can get placeholders."""
        return self.plans[direction].pseudonymizes

    def asks(self, direction: Direction) -> bool:
        """Whether texts in this direction can be put before a person."""
        return self.plans[direction].asks

    @property
    def rewrites_input(self) -> bool:
        """Whether an input can come back changed, so that generation has to wait for the check."""
        return any(treatment.rewrites for treatment in self.plans[Direction.INPUT].treatments)

    @property
    def buffers_output(self) -> bool:
        """Whether output is held back whole."""
        return self.plans[Direction.OUTPUT].whole

    def blocks_without(self, names: Collection[str]) -> bool:
        """Whether it blocks texts that one of these detectors could not check."""
        return any(
            planned.detector.name in names and planned.blocks_on_failure
            for plan in self.plans.values()
            for planned in plan.planned
        )

    @property
    def lacks_models(self) -> bool:
        """Whether it blocks texts because a model that it names cannot be asked."""
        return self.blocks_without([name for name, each in self.judges.items() if not each.ready])

    @property
    def detectors(self) -> tuple[tuple[str, str], ...]:
        """Name and version of every detector it asks for, in either direction."""
        return tuple(
            sorted(
                {
                    (planned.detector.name, planned.detector.version)
                    for plan in self.plans.values()
                    for planned in plan.planned
                }
            )
        )


def _skipped(detector: Detector) -> Execution:
    return Execution(detector=detector.name, version=detector.version, state=ExecutionState.SKIPPED)
