"""Stop strings in text that arrives in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engine.stopping import StopScanner


def scan(stops, pieces):
    scanner = StopScanner(tuple(stops))
    text = ""
    for piece in pieces:
        text += scanner.push(piece)
        if scanner.stopped:
            return text, True
    return text + scanner.flush(), False


@pytest.mark.parametrize(
    ("stops", "pieces", "expected"),
    [
        pytest.param([], ["all", " of it"], ("all of it", False), id="none"),
        pytest.param(["END"], ["one END two"], ("one ", True), id="whole"),
        pytest.param(["END"], ["one E", "N", "D two"], ("one ", True), id="across-pieces"),
        pytest.param(["END"], ["one EN", " two"], ("one EN two", False), id="near-miss"),
        pytest.param(["END"], ["one EN"], ("one EN", False), id="unfinished-at-the-end"),
        pytest.param(["aab"], ["aaab"], ("a", True), id="overlapping-start"),
        pytest.param(["b", "abc"], ["xabc"], ("xa", True), id="complete-first-wins"),
        pytest.param(["bc", "abc"], ["xabc"], ("x", True), id="same-end-longest-wins"),
        pytest.param(["é"], ["caf", "é!"], ("caf", True), id="not-ascii"),
    ],
)
def test_answer_ends_before_the_stop_string(stops, pieces, expected):
    """The answer ends before the first complete stop string and keeps everything else."""
    assert expected == scan(stops, pieces)


def test_holds_back_only_what_could_become_a_stop_string():
    """Text that cannot be part of a stop string is passed on at once."""
    scanner = StopScanner(("\n\nUser:",))
    assert scanner.push("Hello.\n") == "Hello."
    assert scanner.push("More") == "\nMore"


@given(
    st.lists(st.text("ab", min_size=1, max_size=3), max_size=3),
    st.lists(st.text("abc", max_size=4), max_size=12),
)
def test_pieces_make_no_difference(stops, pieces):
    """The same text gives the same answer however it is cut."""
    assert scan(stops, ["".join(pieces)]) == scan(stops, pieces)
