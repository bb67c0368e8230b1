from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guardrails.classifier import Checkpoints, Cut

TEXTS = st.text(st.sampled_from("ab .\n!?。é😀"), max_size=400)
SMALL = Checkpoints(stride_chars=20, window_chars=50)


def arriving(text: str, pieces: list[int]) -> list[Cut]:
    found: list[Cut] = []
    since, end = 0, 0
    for size in [*pieces, len(text)]:
        end = min(len(text), end + size)
        while cut := SMALL.next_cut(text[:end], since, base=0, last=False):
            found.append(cut)
            since = cut.end
    while cut := SMALL.next_cut(text, since, base=0, last=True):
        found.append(cut)
        since = cut.end
    return found


@given(TEXTS, st.lists(st.integers(1, 40), max_size=20))
def test_windows_are_the_same_however_the_text_arrives(text, pieces):
    """Where a text is judged depends on the text alone."""
    assert arriving(text, pieces) == SMALL.cuts(text)


@example("?" * 21, 20)
@given(TEXTS, st.integers(20, 60))
def test_every_character_is_new_in_exactly_one_window(text, window_chars):
    """Nothing is released unjudged and nothing is judged as new twice, whatever the window."""
    cuts = Checkpoints(stride_chars=20, window_chars=window_chars).cuts(text)
    assert all(cut.start <= cut.since for cut in cuts)
    assert [cut.since for cut in cuts] == [0, *(cut.end for cut in cuts)][: len(cuts)]
    assert "".join(text[cut.since : cut.end] for cut in cuts) == text


@given(TEXTS)
def test_what_is_held_back_is_bounded(text):
    """A window adds at most two strides and shows at most its size."""
    for cut in SMALL.cuts(text):
        assert cut.end - cut.since <= 2 * SMALL.stride_chars
        assert cut.end - cut.start <= SMALL.window_chars


@pytest.mark.parametrize(
    ("text", "end"),
    [
        pytest.param("a" * 22 + ". " + "b" * 60, 24, id="end of a sentence"),
        pytest.param("a" * 22 + "\n" + "b" * 60, 23, id="end of a line"),
        pytest.param("a" * 33 + " " + "b" * 60, 34, id="first space after one and a half strides"),
        pytest.param("a" * 90, 40, id="no space at all"),
    ],
)
def test_first_checkpoint(text, end):
    """Sentences first, then spaces, then a hard cut."""
    assert SMALL.cuts(text)[0].end == end
