"""From a policy's document to a policy at work, or to every reason why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.detectors import NamesDetector, RuleDetector, glances
from guardrails.findings import Direction
from guardrails.layers import ModelSpec, Runtime, Scale
from guardrails.layers.shelf import detector
from guardrails.rules import PatternError, Rule

from .compiled import MINIMISED, CompiledPolicy, Plan, Planned, ReviewTerms
from .verdicts import mistakes_of, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from guardrails.layers import Shelf
    from guardrails.layers.shelf import Loadable
    from guardrails.window.lanes import Detector

    from .document import Model, PolicyDocument

__all__ = ["compile_policy"]

CUSTOM = "custom"


def compile_policy(
    name: str, document: PolicyDocument, detectors: Mapping[str, Detector], shelf: Shelf
) -> tuple[CompiledPolicy | None, list[str]]:
    """Bind a policy to detectors; without a policy, the list says every reason why not.

    Models that the policy names are put on the shelf, and judge when they are loaded there.
    """
    custom, mistakes = _custom_rules(document)
    specs = {name: spec_of(model) for name, model in document.models.items()}
    mistakes += [
        f"models.{name}: a detector of this name exists; choose another"
        for name in specs
        if name in detectors or name == CUSTOM
    ]
    known = {name: detector(name, spec) for name, spec in specs.items()} | dict(detectors)
    if custom:
        known[CUSTOM] = RuleDetector(CUSTOM, custom)
    for direction in Direction:
        mistakes += _wrong_entries(document, direction, known)
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
            shadow_of=document.shadow_of or "",
            judges={
                name: shelf.judge(spec) for name, spec in (specs | _wanted(plans.values())).items()
            },
            reviews=ReviewTerms(
                keep_text=document.reviews.keep_text, ttl_s=document.reviews.ttl_hours * 3600
            ),
        ),
        [],
    )


def _wanted(plans: Iterable[Plan]) -> dict[str, Loadable]:
    """The models of the built-in detectors that have one of their own, where they are used."""
    used = (planned.detector for plan in plans for planned in plan.planned)
    return {each.name: each.model for each in used if isinstance(each, NamesDetector)}


def _plan(
    document: PolicyDocument, direction: Direction, detectors: Mapping[str, Detector]
) -> Plan:
    section = document.section(direction)
    planned = tuple(
        Planned(
            detector=detectors[name],
            by_role={role: settings_of(entry, role) for role in entry.roles},
        )
        for name, entry in sorted(section.detectors.items())
    )
    # Input is judged as a whole: a prompt of which the model may see half is no prompt.
    return Plan(
        planned=planned,
        whole=direction is Direction.INPUT or section.buffer == "whole",
        glances=glances() if glances().covers(each.detector for each in planned) else None,
    )


def spec_of(model: Model) -> ModelSpec:
    """A model as the shelf knows it."""
    return ModelSpec(
        runtime=Runtime(model.runtime),
        path=model.path,
        hub=model.hub,
        revision=model.revision,
        file=model.file,
        sha256=model.sha256,
        labels=tuple(sorted(model.labels.items())),
        scale=Scale(model.scores) if model.scores else None,
        max_tokens=model.max_tokens,
        stride_chars=model.stride_chars,
        window_chars=model.window_chars,
        threads=model.threads,
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


def _wrong_entries(
    document: PolicyDocument, direction: Direction, known: Mapping[str, Detector]
) -> Iterator[str]:
    for name, entry in document.section(direction).detectors.items():
        place = f"{direction.value}.detectors.{name}"
        if name not in known:
            yield f"{place}: no such detector; there are {', '.join(sorted(known))}"
            continue
        found = known[name]
        if isinstance(found, NamesDetector) and found.missing:
            yield f"{place}: {found.missing}"
        yield from mistakes_of(entry, direction, found)


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
