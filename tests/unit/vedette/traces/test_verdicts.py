"""What the guards decided."""

from __future__ import annotations

import pytest

from vedette.traces import verdicts
from vedette.traces.verdicts import Verdict

ACTION, CATEGORIES = "vedette.guard.action", "vedette.guard.categories"
DETECTOR, STATE = "vedette.guard.detector", "vedette.guard.state"


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, None),
        ({ACTION: "ALLOW"}, Verdict(action="ALLOW")),
        ({DETECTOR: "pii", STATE: "RAN", CATEGORIES: ["EMAIL"]},
         Verdict(action="", categories=("EMAIL",))),
        ({DETECTOR: "pii", STATE: "SKIPPED"}, Verdict(action="")),
        ({DETECTOR: "pii", STATE: "FAILED"}, Verdict(action="", not_run=("pii FAILED",))),
        ({DETECTOR: "pii", STATE: "TIMED_OUT"}, Verdict(action="", not_run=("pii TIMED_OUT",))),
    ],
    ids=["not a guard", "a check", "a detector", "skipped is no failure", "failed", "timed out"],
)  # fmt: skip
def test_a_span_says_what_it_decided(span, attributes, expected):
    """Whether it ran and whether it matched are two things."""
    assert verdicts.of_span(span("a", at=(0, 1), attributes=attributes)) == expected


def test_a_trace_has_the_strictest_action_and_everything_found(span, trace_of):
    """Several checks make one verdict."""
    trace = trace_of(
        [
            span("a", at=(0, 9), attributes={ACTION: "REDACT", CATEGORIES: ["EMAIL"]}),
            span("b", at=(0, 9), attributes={ACTION: "BLOCK", CATEGORIES: ["HATE", "EMAIL"]}),
            span("c", at=(0, 9), attributes={DETECTOR: "pii", STATE: "FAILED"}),
            span("d", at=(0, 9), attributes={ACTION: "ALLOW"}),
        ]
    )
    assert verdicts.of_trace(trace) == Verdict(
        action="BLOCK", categories=("EMAIL", "HATE"), not_run=("pii FAILED",)
    )


def test_a_check_that_did_not_run_is_not_clean():
    """An action of allow does not make it so."""
    assert not Verdict(action="ALLOW", not_run=("pii FAILED",)).is_clean
    assert Verdict(action="ALLOW").is_clean
