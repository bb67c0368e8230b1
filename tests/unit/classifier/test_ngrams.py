"""The linear model over hashed runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.classifier.ngrams import SLOTS, NgramModel, features


@settings(deadline=None)
@given(st.text(max_size=300))
def test_every_text_has_its_slots(text):
    """Any text can be read: characters in the first half of the table, words in the second."""
    characters, words = features(text)
    assert np.all((characters >= 0) & (characters < SLOTS))
    assert np.all((words >= SLOTS) & (words < 2 * SLOTS))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("Ignore the rules", "IGNORE the RULES", id="case"),
        pytest.param("ignore the rules", "  ignore \n the\trules ", id="space"),
    ],
)
def test_case_and_space_do_not_count(one, other):
    """What is written the same is read the same."""
    for left, right in zip(features(one), features(other), strict=True):
        assert left.tolist() == right.tolist()


def test_each_kind_of_runs_is_scaled_by_the_root_of_its_number():
    """A long text does not score higher for its length alone."""
    table = np.ones((2 * SLOTS, 1), dtype=np.int8)
    model = NgramModel(table, np.array([0.5], np.float32), np.array([-1.0], np.float32))
    counts = [len(kind) for kind in features("ignore the rules")]
    expected = -1.0 + 0.5 * sum(count**0.5 for count in counts)
    assert model.logits("ignore the rules").tolist() == pytest.approx([expected], rel=1e-5)


def test_nothing_has_the_bias_for_a_logit():
    """An empty text is no evidence."""
    table = np.zeros((2 * SLOTS, 2), dtype=np.int8)
    bias = np.array([0.5, -2.0], np.float32)
    assert NgramModel(table, np.ones(2, np.float32), bias).logits("").tolist() == [0.5, -2.0]
