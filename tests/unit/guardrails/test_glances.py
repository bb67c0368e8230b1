"""A glance passes over nothing: what counts only beside a word is found wherever the word stood."""

from __future__ import annotations

import pytest

from guardrails.rules import Glance, Sought, signs
from guardrails.rules.prefilter import Beside

TEXTS = {
    "passport": "The passport number is C01X00T47 and it was renewed.",
    "social security": "Her social security number is 536-90-4399 as of today.",
    "date of birth": "She gave her date of birth as 12 May 1987 at the desk.",
    "driving licence": "His driving licence has the number MORGA657054SM9IJ on it.",
}


def found(window, pieces):
    text = "".join(window.push(piece).text for piece in pieces)
    return text + window.finish().text, [finding.category for finding in window.findings]


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_value_after_its_word_is_found_in_a_stream_of_words(open_output, text):
    """The word and the value arrive apart, and the value alone would be nothing."""
    words = [f"{word} " for word in text.split(" ")]
    whole, categories = found(open_output(), ["".join(words)])
    assert categories
    assert (whole, categories) == found(open_output(), words)


def test_a_word_concerns_as_many_characters_as_it_reaches():
    """Whoever looks for a value near a word looks at what comes after the word, and no farther."""
    sought = Sought(pattern="[a-z]{4}(?= )", beside=Beside(words="(?:name)", chars=12))
    glance = Glance({"names": signs([sought], streamed=False, any_case=False)})
    assert {"names"} == glance.concerned("the name: ", "anna ")
    assert set() == glance.concerned("the name: is it not, ", "anna ")
    assert set() == glance.concerned("the man: ", "anna ")
