"""What the layers catch apart and together, at the thresholds of the packaged default policy.

Texts go through the policy as a caller would send them. A text counts for every layer of which a
finding blocks it; `together` is what a caller sees.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Final

from benchmarks.guard_evasion import TRICKS
from guardrails.classifier import classifier
from guardrails.detectors import builtin
from guardrails.findings import Action, Direction, Role
from guardrails.pipeline.checking import Checker
from guardrails.policy import PolicyStore
from guardrails.window.surroundings import Surroundings, Text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from guardrails.training.samples import Sample

__all__ = ["evasion", "layers"]

_RULES: Final = frozenset({"injection"})
_CLASSIFIER: Final = frozenset({"attacks", "planted"})


def layers(samples: Sequence[Sample], model: Path) -> dict[str, dict[str, float]]:
    """Share of each source and role that rules, classifier and both of them block."""
    found = asyncio.run(_found(samples, model))
    groups: dict[str, list[frozenset[str]]] = {}
    for sample, names in zip(samples, found, strict=True):
        role = "document" if sample.document else "user"
        kind = "attack" if sample.label else "harmless"
        parts = (kind, sample.source, sample.family, role)
        groups.setdefault("/".join(filter(None, parts)), []).append(names)
    return {name: _shares(each) for name, each in sorted(groups.items())}


def evasion(samples: Sequence[Sample], model: Path) -> dict[str, dict[str, float]]:
    """Share of attacks that the default policy blocks, by the trick that disguises them."""
    attacks = [each for each in samples if each.label and each.text.isascii()]
    disguised = [
        dataclasses.replace(each, text=disguise(each.text))
        for disguise in TRICKS.values()
        for each in attacks
    ]
    found = iter(asyncio.run(_found(disguised, model)))
    out = {}
    for trick in TRICKS:
        names = [next(found) for _ in attacks]
        out[trick] = _shares(names)
    return out


def _shares(found: Sequence[frozenset[str]]) -> dict[str, float]:
    count = max(len(found), 1)
    return {
        "texts": len(found),
        "rules": sum(bool(names & _RULES) for names in found) / count,
        "classifier": sum(bool(names & _CLASSIFIER) for names in found) / count,
        "together": sum(bool(names & (_RULES | _CLASSIFIER)) for names in found) / count,
    }


async def _found(samples: Sequence[Sample], model: Path) -> list[frozenset[str]]:
    judging = classifier(model)
    await judging.load()
    detectors = {each.name: each for each in (*builtin(), *judging.detectors)}
    store = PolicyStore(folder=None, default_name="default", detectors=detectors)
    checker = Checker(judges=judging.judges)
    out = []
    for sample in samples:
        role = Role.DOCUMENT if sample.document else Role.USER
        checked = await checker.check(
            store.default,
            Text(role=role, text=sample.text),
            direction=Direction.INPUT,
            surroundings=Surroundings(),
        )
        blocking = (each for each in checked.findings if each.action is Action.BLOCK)
        out.append(frozenset(each.detector for each in blocking))
    judging.judge.close()
    return out
