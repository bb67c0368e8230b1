"""What a policy writes about scores: for a detector, a role, a category; the nearest counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.findings import Direction, Treatment
from guardrails.window.bands import Bands
from guardrails.window.lanes import LaneSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from guardrails.findings import Role
    from guardrails.window.lanes import Detector

    from .document import DetectorEntry, Verdict

__all__ = ["mistakes_of", "settings_of"]

_WHOLE_TEXT = frozenset({Treatment.MARK, Treatment.DROP})


def settings_of(entry: DetectorEntry, role: Role) -> LaneSettings:
    """What a detector's entry says about texts of one role."""
    default = Bands(
        treatment=entry.action,
        threshold=entry.threshold,
        review_from=entry.review_from,
        under_review=Treatment(entry.under_review),
    )
    own = entry.by_role.get(role)
    bands = default if own is None else _over(default, own)
    categories = {name: _over(bands, verdict) for name, verdict in entry.categories.items()}
    if own is not None:
        for name, verdict in own.categories.items():
            categories[name] = _over(categories.get(name, bands), verdict)
    return LaneSettings(
        bands=bands,
        categories=categories,
        blocks_on_failure=entry.on_failure == "block",
        timeout_s=entry.timeout_s,
        overlap_chars=entry.overlap_chars,
    )


def _over(base: Bands, verdict: Verdict) -> Bands:
    """The base with what a verdict says. An action of its own does not inherit a band of review."""
    inherited = base.review_from if verdict.action is None else None
    return Bands(
        treatment=base.treatment if verdict.action is None else verdict.action,
        threshold=base.threshold if verdict.threshold is None else verdict.threshold,
        review_from=inherited if verdict.review_from is None else verdict.review_from,
        under_review=(
            Treatment(verdict.under_review) if verdict.under_review else base.under_review
        ),
    )


def mistakes_of(entry: DetectorEntry, direction: Direction, detector: Detector) -> Iterator[str]:
    """What is wrong with the entry of a detector."""
    place = f"{direction.value}.detectors.{detector.name}"
    yield from _unknown(entry.categories, place, detector)
    for role, verdict in entry.by_role.items():
        where = f"{place}.by_role.{role.value}"
        yield from _unknown(verdict.categories, where, detector)
        if role not in entry.roles:
            yield f"{where}: not one of this detector's roles; add it there or remove it here"
    for where, bands in dict(_all_bands(entry, place)).items():
        if bands.review_from is not None and bands.review_from >= bands.threshold:
            yield (
                f"{where}: review_from {bands.review_from:g} must lie below the threshold "
                f"{bands.threshold:g}; scores between the two are for a person"
            )
        if direction is Direction.OUTPUT and bands.treatment in _WHOLE_TEXT:
            yield (
                f"{where}: {bands.treatment.value} is for input; "
                "an answer is masked or blocked instead"
            )


def _all_bands(entry: DetectorEntry, place: str) -> Iterator[tuple[str, Bands]]:
    """Every set of bands that can apply, and where the policy writes it."""
    for role in entry.roles:
        where = f"{place}.by_role.{role.value}" if role in entry.by_role else place
        settings = settings_of(entry, role)
        yield where, settings.bands
        for category, bands in settings.categories.items():
            yield f"{where}.categories.{category}", bands


def _unknown(named: Mapping[str, Verdict], place: str, detector: Detector) -> Iterator[str]:
    for category in named:
        if category not in detector.categories:
            yield (
                f"{place}.categories.{category}: {detector.name} has no such category; "
                f"it has {', '.join(sorted(detector.categories))}"
            )
