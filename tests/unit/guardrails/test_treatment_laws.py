"""Laws 1 and 2 hold for what is reviewed, held, marked and dropped, however a text is cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.findings import Direction, Role
from guardrails.policy import PolicyStore

POLICY = """
version: 1
input:
  detectors:
    custom:
      action: mask
      threshold: 0.6
      review_from: 0.4
      categories: {HELD: {action: block, threshold: 0.9, review_from: 0.4, under_review: hold}}
      by_role:
        tool: {categories: {SEEN: mark}}
        document: {categories: {SEEN: drop, HELD: mark}}
output:
  detectors:
    custom:
      action: mask
      threshold: 0.6
      review_from: 0.4
      categories: {HELD: {action: block, threshold: 0.9, review_from: 0.4, under_review: hold}}
rules:
  - {id: seen, category: SEEN, pattern: 'seen[0-9]{0,3}', score: 0.5}
  - {id: masked, category: SEEN, pattern: 'mask[a-z]{0,4}', score: 0.7}
  - {id: held, category: HELD, pattern: 'held(?!x)', score: 0.5}
  - {id: blocked, category: HELD, pattern: 'block{1,3}', score: 0.95}
"""
words = st.sampled_from(
    ["seen", "seen12", "masked", "mas", "held", "heldx", "hel", "block", "blo", "é", " ", "the "]
)
texts = st.lists(words, max_size=8).map("".join)
places = st.sampled_from(
    [
        (Direction.OUTPUT, Role.ASSISTANT),
        (Direction.INPUT, Role.USER),
        (Direction.INPUT, Role.TOOL),
        (Direction.INPUT, Role.DOCUMENT),
    ]
)


@pytest.fixture(scope="module")
def policy(tmp_path_factory, detectors):
    """The policy above."""
    folder = tmp_path_factory.mktemp("policies")
    (folder / "mine.yaml").write_text(POLICY)
    return PolicyStore(folder=folder, default_name="mine", detectors=detectors).default


def guarded(policy, pieces, direction, role):
    """Everything that a receiver can see of a text."""
    window = policy.open(direction=direction, role=role, clock=lambda: 0.0, secret=b"key")
    released, findings, prefix = "", [], []
    for piece in [*pieces, None]:
        if window.end is not None:
            break
        release = window.finish() if piece is None else window.push(piece)
        released += release.text
        findings += release.findings
        prefix.append(released)
    return released, findings, window.end, window.action, window.attest(), prefix


@given(text=texts, cuts=st.lists(st.integers(0, 100), max_size=12), place=places)
def test_a_stream_gives_what_the_unary_check_gives(policy, text, cuts, place):
    """Released text, findings, end, action and attestation do not depend on the cuts."""
    edges = [0, *sorted({at % (len(text) + 1) for at in cuts}), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(edges)]
    *streamed, prefixes = guarded(policy, pieces, *place)
    *whole, _ = guarded(policy, [text], *place)
    assert whole == streamed
    assert all(streamed[0].startswith(prefix) for prefix in prefixes)


@given(text=texts, place=places)
def test_what_is_held_or_blocked_ends_the_text(policy, text, place):
    """Nothing from the first such finding on leaves; of a prompt nothing at all."""
    released, findings, end, *_ = guarded(policy, [text], *place)
    stopping = [finding for finding in findings if finding.treatment.blocks]
    assert bool(stopping) == (end.value == "blocked")
    if stopping:
        assert "block" not in released
        assert released == "" or place[0] is Direction.OUTPUT
