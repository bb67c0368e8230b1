"""A policy bound to the detectors of this process, ready to open windows."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from guardrails.detectors import RuleDetector
from guardrails.findings import Direction, Execution, ExecutionState, Role, Treatment
from guardrails.lanes import Lane, LaneSettings
from guardrails.rules import PatternError, Rule
from guardrails.surroundings import Surroundings
from guardrails.window import GuardWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from guardrails.lanes import Detector
    from guardrails.pseudonyms import Restorer
    from guardrails.redaction import Redactor

    from .document import DetectorEntry, PolicyDocument

__all__ = ["CompiledPolicy", "compile_policy"]

CUSTOM = "custom"
# The detector whose categories purposes are about.
MINIMISED = "pii"

_NOWHERE = Surroundings()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    detector: Detector
    roles: frozenset[Role]
    settings: LaneSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """One direction of a policy."""

    planned: tuple[_Planned, ...]
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledPolicy:
    """A named policy; immutable, shared by every request under it."""

    name: str
    description: str
    digest: str
    plans: Mapping[Direction, _Plan]
    purposes: Mapping[str, frozenset[str]]
    restores_output: bool

    def open(  # noqa: PLR0913 - everything that makes a window, by name
        self,
        *,
        direction: Direction,
        role: Role,
        clock: Callable[[], float],
        surroundings: Surroundings = _NOWHERE,
        redactor: Redactor | None = None,
        restorer: Restorer | None = None,
    ) -> GuardWindow:
        """Begin a text. Detectors that the policy does not ask for here are marked as skipped."""
        plan = self.plans[direction]
        lanes, skipped = [], []
        for planned in plan.planned:
            if role in planned.roles:
                lanes.append(
                    Lane(
                        detector=planned.detector,
                        settings=self._for_purpose(planned, surroundings.purpose),
                        surroundings=surroundings,
                        clock=clock,
                    )
                )
            else:
                skipped.append(_skipped(planned.detector))
        return GuardWindow(
            lanes,
            skipped=skipped,
            whole=plan.whole,
            policy_digest=self.digest,
            redactor=redactor,
            restorer=restorer,
        )

    def _for_purpose(self, planned: _Planned, purpose: str) -> LaneSettings:
        if not purpose or planned.detector.name != MINIMISED:
            return planned.settings
        return dataclasses.replace(planned.settings, sees=self.purposes[purpose])

    def pseudonymizes(self, direction: Direction) -> bool:
        """Whether texts in this direction can get placeholders."""
        return any(
            Treatment.PSEUDONYMIZE in planned.settings.treatments
            for planned in self.plans[direction].planned
        )

    @property
    def rewrites_input(self) -> bool:
        """Whether an input can come back changed, so that generation has to wait for the check."""
        return any(
            treatment.rewrites
            for planned in self.plans[Direction.INPUT].planned
            for treatment in planned.settings.treatments
        )

    @property
    def buffers_output(self) -> bool:
        """Whether output is held back whole."""
        return self.plans[Direction.OUTPUT].whole

    def blocks_without(self, names: Collection[str]) -> bool:
        """Whether it blocks texts that one of these detectors could not check."""
        return any(
            planned.detector.name in names and planned.settings.blocks_on_failure
            for plan in self.plans.values()
            for planned in plan.planned
        )

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


def compile_policy(
    name: str, document: PolicyDocument, detectors: Mapping[str, Detector]
) -> tuple[CompiledPolicy | None, list[str]]:
    """Bind a policy to detectors; without a policy, the list says every reason why not."""
    custom, mistakes = _custom_rules(document)
    known = dict(detectors)
    if custom:
        known[CUSTOM] = RuleDetector(CUSTOM, custom)
    for direction in Direction:
        mistakes += _unknown_names(document, direction, known)
    mistakes += _unbounded(document, custom)
    mistakes += _purposes(document, known)
    if mistakes:
        return None, mistakes
    plans = {direction: _plan(document, direction, known) for direction in Direction}
    return (
        CompiledPolicy(
            name=name,
            description=document.description,
            digest=document.digest,
            plans=plans,
            purposes={name: frozenset(purpose.sees) for name, purpose in document.purposes.items()},
            restores_output=document.output.restore,
        ),
        [],
    )


def _plan(
    document: PolicyDocument, direction: Direction, detectors: Mapping[str, Detector]
) -> _Plan:
    section = document.section(direction)
    planned = tuple(
        _Planned(detector=detectors[name], roles=frozenset(entry.roles), settings=_settings(entry))
        for name, entry in sorted(section.detectors.items())
    )
    # Input is judged as a whole: a prompt of which the model may see half is no prompt.
    return _Plan(planned=planned, whole=direction is Direction.INPUT or section.buffer == "whole")


def _settings(entry: DetectorEntry) -> LaneSettings:
    return LaneSettings(
        treatment=entry.action,
        categories=dict(entry.categories),
        threshold=entry.threshold,
        blocks_on_failure=entry.on_failure == "block",
        timeout_s=entry.timeout_s,
        overlap_chars=entry.overlap_chars,
    )


def _custom_rules(document: PolicyDocument) -> tuple[list[Rule], list[str]]:
    rules, mistakes, seen = [], [], set()
    for index, entry in enumerate(document.rules):
        if entry.id in seen:
            mistakes.append(f"rules[{index}].id: {entry.id!r} stands here twice; rename one")
        seen.add(entry.id)
        try:
            rules.append(
                Rule(
                    id=f"{CUSTOM}.{entry.id}",
                    category=entry.category,
                    pattern=entry.pattern,
                    score=entry.score,
                )
            )
        except PatternError as error:
            mistakes.append(f"rules[{index}].pattern: {error}")
    return rules, mistakes


def _unknown_names(
    document: PolicyDocument, direction: Direction, known: Mapping[str, Detector]
) -> Iterator[str]:
    for name, entry in document.section(direction).detectors.items():
        place = f"{direction.value}.detectors.{name}"
        if name not in known:
            yield f"{place}: no such detector; there are {', '.join(sorted(known))}"
            continue
        categories = known[name].categories
        for category in entry.categories:
            if category not in categories:
                yield (
                    f"{place}.categories.{category}: {name} has no such category; "
                    f"it has {', '.join(sorted(categories))}"
                )


def _unbounded(document: PolicyDocument, custom: list[Rule]) -> Iterator[str]:
    if CUSTOM not in document.output.detectors or document.output.buffer == "whole":
        return
    for rule in custom:
        if not rule.bounds.streams:
            yield (
                f"rules: {rule.id.removeprefix(CUSTOM + '.')} can match without limit and cannot "
                "stream; bound its repeats ({0,n} for * and +) or set output.buffer: whole"
            )


def _purposes(document: PolicyDocument, known: Mapping[str, Detector]) -> Iterator[str]:
    if not document.purposes or MINIMISED not in known:
        return
    categories = known[MINIMISED].categories
    for name, purpose in document.purposes.items():
        for index, category in enumerate(purpose.sees):
            if category not in categories:
                yield (
                    f"purposes.{name}.sees[{index}]: {category} is no category of {MINIMISED}; "
                    f"it has {', '.join(sorted(categories))}"
                )


def _skipped(detector: Detector) -> Execution:
    return Execution(detector=detector.name, version=detector.version, state=ExecutionState.SKIPPED)
