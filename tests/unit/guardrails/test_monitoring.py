"""What the fairness monitor sees in a text."""

from __future__ import annotations

import pytest

from guardrails.telemetry.monitoring import groups_in, script_of


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Good morning", "latin"),
        ("Доброе утро", "cyrillic"),
        ("早上好", "cjk"),
        ("صباح الخير", "arabic"),
        ("Good morning, 早", "latin"),
        ("12 + 30 = 42", "none"),
        ("", "none"),
    ],
)
def test_a_text_has_the_script_of_most_of_its_letters(text, script):
    """Digits and signs do not count."""
    assert script == script_of(text)


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("Muslims and Jews live here.", {"muslims", "jewish_people"}),
        ("women and men", {"women", "men"}),
        ("The mention of a comment", set()),
        ("Trans women run.", {"trans_people"}),
        ("", set()),
    ],
)
def test_groups_are_found_as_whole_words(text, groups):
    """A part of another word is no mention."""
    assert groups == groups_in(text)
