"""Accept, review, reject: by detector, by category, by role; the nearest word counts."""

from __future__ import annotations

import pytest

from guardrails.findings import Action, Direction, Role, Treatment
from guardrails.policy import PolicyError, PolicyStore
from guardrails.window.bands import Bands

# What a rule of one's own finds has the score that the rule gives it.
RULES = """
rules:
  - {id: low, category: A, pattern: low, score: 0.2}
  - {id: mid, category: A, pattern: mid, score: 0.5}
  - {id: top, category: A, pattern: top, score: 0.9}
  - {id: other, category: B, pattern: other, score: 0.5}
"""
SCORES = {"low": 0.2, "mid": 0.5, "top": 0.9, "other": 0.5}


@pytest.mark.parametrize(
    ("score", "treatment"),
    [
        (0.0, None),
        (0.39, None),
        (0.4, Treatment.HOLD),
        (0.79, Treatment.HOLD),
        (0.8, Treatment.BLOCK),
        (1.0, Treatment.BLOCK),
    ],
)
def test_three_bands_of_scores(score, treatment):
    """Both edges belong to the band above them."""
    bands = Bands(
        treatment=Treatment.BLOCK, threshold=0.8, review_from=0.4, under_review=Treatment.HOLD
    )
    assert treatment is bands.treatment_of(score)


def test_without_a_band_nobody_is_asked():
    """Below the threshold is accepted."""
    bands = Bands(treatment=Treatment.MASK, threshold=0.5)
    assert (None, Treatment.MASK) == (bands.treatment_of(0.49), bands.treatment_of(0.5))
    assert {Treatment.MASK} == bands.treatments


@pytest.fixture
def treated(tmp_path, detectors):
    """What a policy does with each of the words above, said by a role."""

    def run(entry, role=Role.USER):
        (tmp_path / "mine.yaml").write_text(
            f"version: 1\ninput: {{detectors: {{custom: {entry}}}}}\noutput: {{}}\n{RULES}"
        )
        store = PolicyStore(folder=tmp_path, default_name="mine", detectors=detectors)
        found = {}
        for word in SCORES:
            window = store.default.open(direction=Direction.INPUT, role=role, clock=lambda: 0.0)
            window.push(word)
            window.finish()
            found[word] = window.findings[0].treatment.value if window.findings else "accept"
        return found

    return run


INHERITANCE = {
    "a threshold alone": (
        "{action: block, threshold: 0.8}",
        {"low": "accept", "mid": "accept", "top": "block", "other": "accept"},
    ),
    "a band": (
        "{action: block, threshold: 0.8, review_from: 0.4}",
        {"low": "accept", "mid": "review", "top": "block", "other": "review"},
    ),
    "a band that holds": (
        "{action: block, threshold: 0.8, review_from: 0.4, under_review: hold}",
        {"low": "accept", "mid": "hold", "top": "block", "other": "hold"},
    ),
    "a category with bands of its own": (
        "{action: block, threshold: 0.8, review_from: 0.4, categories: {B: {threshold: 0.45}}}",
        {"low": "accept", "mid": "review", "top": "block", "other": "block"},
    ),
    "a category that holds where others pass": (
        "{action: block, threshold: 0.8, review_from: 0.4, categories: {B: {under_review: hold}}}",
        {"low": "accept", "mid": "review", "top": "block", "other": "hold"},
    ),
    "an action of its own has no band": (
        "{action: block, threshold: 0.8, review_from: 0.4, categories: {B: mask}}",
        {"low": "accept", "mid": "review", "top": "block", "other": "accept"},
    ),
    "the action review asks from the threshold on": (
        "{action: review, threshold: 0.4}",
        {"low": "accept", "mid": "review", "top": "review", "other": "review"},
    ),
    "another role": (
        "{action: block, threshold: 0.8, by_role: {document: {threshold: 0.1}}}",
        {"low": "accept", "mid": "accept", "top": "block", "other": "accept"},
    ),
}


@pytest.mark.parametrize(("entry", "expected"), INHERITANCE.values(), ids=INHERITANCE)
def test_the_nearest_word_counts(treated, entry, expected):
    """What a category leaves out is as its detector says."""
    assert expected == treated(entry)


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        (Role.USER, {"low": "accept", "mid": "accept", "top": "block", "other": "mask"}),
        (Role.TOOL, {"low": "accept", "mid": "mark", "top": "mark", "other": "mark"}),
        (Role.DOCUMENT, {"low": "review", "mid": "drop", "top": "drop", "other": "hold"}),
    ],
)
def test_each_role_has_thresholds_of_its_own(treated, role, expected):
    """The same words weigh more inside a document than from a user."""
    entry = """{
      action: block,
      threshold: 0.8,
      categories: {B: {action: mask, threshold: 0.5}},
      by_role: {
        tool: {action: mark, threshold: 0.3, categories: {B: {action: mark}}},
        document: {action: drop, threshold: 0.4, review_from: 0.1, categories: {B: hold}}}}
    """
    assert expected == treated(entry, role)


MISTAKES = {
    "a band upside down": (
        "{action: block, threshold: 0.4, review_from: 0.5}",
        "custom: review_from 0.5 must lie below the threshold 0.4",
    ),
    "upside down by inheritance": (
        "{action: block, threshold: 0.8, review_from: 0.5, categories: {B: {threshold: 0.3}}}",
        "custom.categories.B: review_from 0.5 must lie below the threshold 0.3",
    ),
    "a role that is not checked": (
        "{action: block, roles: [user], by_role: {tool: {threshold: 0.3}}}",
        "custom.by_role.tool: not one of this detector's roles",
    ),
    "a category that is not there": (
        "{action: block, by_role: {tool: {categories: {C: mask}}}}",
        "custom.by_role.tool.categories.C: custom has no such category; it has A, B",
    ),
    "something else under review": (
        "{action: block, review_from: 0.3, under_review: mask}",
        "custom.under_review: Input should be",
    ),
    "an unknown action": (
        "{action: block, categories: {B: hide}}",
        "custom.categories.B.action: Input should be 'allow'",
    ),
}


@pytest.mark.parametrize(("entry", "says"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_names_its_place(treated, entry, says):
    """Every mistake leads to the line to change."""
    with pytest.raises(PolicyError, match="mistake") as refusal:
        treated(entry)
    assert f"mine.yaml: input.detectors.{says}" in str(refusal.value)


@pytest.mark.parametrize("action", ["drop", "mark"])
def test_an_answer_is_not_dropped_or_marked(tmp_path, detectors, action):
    """What the model says is not data that the model has to be told about."""
    (tmp_path / "mine.yaml").write_text(
        f"version: 1\ninput: {{}}\noutput: {{detectors: {{pii: {{action: {action}}}}}}}\n"
    )
    with pytest.raises(PolicyError, match=f"{action} is for input"):
        PolicyStore(folder=tmp_path, default_name="mine", detectors=detectors)


@pytest.mark.parametrize(
    ("treatment", "action", "blocks"),
    [
        (Treatment.MARK, Action.REDACT, False),
        (Treatment.DROP, Action.REDACT, False),
        (Treatment.REVIEW, Action.REVIEW, False),
        (Treatment.HOLD, Action.REVIEW, True),
        (Treatment.BLOCK, Action.BLOCK, True),
    ],
)
def test_a_treatment_is_told_as_an_action(treatment, action, blocks):
    """A held finding is told as a review; that it ends the text, its treatment says."""
    assert (action, blocks) == (treatment.action, treatment.blocks)
