"""Attempts to take over the model: orders against its instructions, jailbreaks, forged turns.

Covered: orders to ignore, forget or override instructions, rules or guidelines; orders to reveal
the system prompt; being told to be without rules from now on; all of these in English and some
thirty other languages. In English also well-known jailbreak personas and switching safety off.
In any language: forged chat markup and system turns, notes to an AI that reads along, text hidden
in invisible characters.
Not covered: paraphrase without these words, bare orders planted in documents, social engineering.
Text that quotes such a phrase and no more is left alone, so an attack that is one quoted phrase
passes. Rules are the first tier; they are exact and explainable, and a determined attacker walks
around them.
"""

from __future__ import annotations

from guardrails.detectors.rules import RuleDetector
from guardrails.normalise import FOLDED

from . import english, languages, structure

__all__ = ["detector"]


def detector() -> RuleDetector:
    """The first tier against injection."""
    return RuleDetector(
        "injection",
        [*english.RULES, *structure.RULES, *languages.RULES],
        view=FOLDED,
        as_sent=structure.RAW_RULES,
        timed=False,
    )
