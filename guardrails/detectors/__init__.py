"""The built-in detectors. Each module opens with what it covers and what it does not."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from guardrails.classifier import classifier
from guardrails.window.glances import Glances

from . import injection, moderation, names, pii, secrets
from .leak import LeakDetector
from .names import NamesDetector
from .rules import RuleDetector

if TYPE_CHECKING:
    from guardrails.window.lanes import Detector

__all__ = ["NamesDetector", "RuleDetector", "builtin", "glances"]


@functools.cache
def builtin() -> tuple[Detector, ...]:
    """The detectors that need nothing but this package; compiled once, at the first call."""
    return (
        LeakDetector(),
        injection.detector(),
        moderation.detector(),
        names.detector(),
        pii.detector(),
        secrets.detector(),
        *classifier().detectors,
    )


@functools.cache
def glances() -> Glances:
    """What the detectors of rules look for; compiled once, at the first call.

    Injection is left out in streams: no packaged policy looks for it in answers.
    """
    rules = [detector for detector in builtin() if isinstance(detector, RuleDetector)]
    return Glances(rules, [detector for detector in rules if detector.name != "injection"])
