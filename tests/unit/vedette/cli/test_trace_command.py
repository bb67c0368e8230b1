"""`vedette trace` over files."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from vedette.cli import app
from vedette.traces.spans import Status

A, B = "ab12" + "0" * 28, "cd34" + "0" * 28


@pytest.fixture
def run(tmp_path):
    def run(*words):
        return CliRunner().invoke(app, ["trace", *words, "--dir", str(tmp_path)])

    return run


def test_ls_lists_the_latest_first(run, span, write_traces):
    """Newest first, with outcome and call."""
    write_traces(
        [
            span("x", at=(0, 5), trace_id=A, attributes={"vedette.finish_reason": "BLOCKED"}),
            span("y", at=(9, 12), trace_id=B, status=Status.ERROR),
        ]
    )
    lines = run("ls").stdout.splitlines()[1:]
    began = lines[0].split()[1:3]
    assert [line.split() for line in lines] == [
        [B[:12], *began, "3.0", "ms", "1", "error", "y", "gateway"],
        [A[:12], *began, "5.0", "ms", "1", "blocked", "x", "gateway"],
    ]


def test_ls_as_json_is_for_programs(run, whole_request, write_traces):
    """The same list as JSON, with whole ids."""
    write_traces(whole_request(A))
    [listed] = json.loads(run("ls", "--json").stdout)
    assert (listed["trace_id"], listed["outcome"], listed["missing_hops"]) == (A, "stop", [])


def test_ls_of_nothing_says_what_to_do(run):
    """An empty folder is not an error, and the way on is named."""
    result = run("ls")
    assert (result.exit_code, "vedette up" in result.stderr) == (0, True)


def test_show_draws_every_span_with_its_service(run, whole_request, write_traces):
    """The waterfall has a row a span, named by service, and says when the first token came."""
    write_traces(whole_request(A))
    result = run("show", "last")
    headline, mostly, heading, *rows, explanation = result.stdout.splitlines()
    assert result.exit_code == 0
    assert A in headline
    assert "first token after 41.0 ms" in headline
    assert [row.split()[0] for row in rows] == [
        "gateway",
        "gateway",
        "guardrails",
        "gateway",
        "inference",
        "inference",
        "inference",
    ]
    assert "mostly decode, 56.0 ms (56 %): making 12 tokens at 214 tokens/s" == mostly
    assert "▼ first token" in heading
    assert explanation == (
        "critical path: decode 56.0 ms (56 %) prefill 27.0 ms (27 %) "
        "GuardrailsService/CheckText 7.0 ms (7 %) GatewayService/Generate 3.0 ms (3 %) "
        "→ InferenceService/Generate 3.0 ms (3 %)"
    )


def test_show_names_verdicts_gaps_and_what_did_not_run(run, span, write_traces):
    """What the guards decided stands beside the span, and time without explanation is named."""
    write_traces(
        [
            span("a", at=(0, 100), trace_id=A, attributes={"vedette.finish_reason": "BLOCKED"}),
            span("b", "a", at=(60, 90), trace_id=A, attributes={
                "vedette.guard.action": "BLOCK", "vedette.guard.categories": ["INJECTION"]}),
            span("c", "b", at=(60, 90), trace_id=A, attributes={
                "vedette.guard.detector": "pii", "vedette.guard.state": "TIMED_OUT"}),
        ]
    )  # fmt: skip
    said = run("show", A).stdout
    assert "; block INJECTION pii TIMED_OUT" in said
    assert "gap: 60.0 ms from 0.00 ms in a of gateway: nothing recorded" in said
    assert "gap: 10.0 ms from 90.0 ms in a of gateway: nothing recorded" in said


def test_show_names_what_is_missing(run, whole_request, write_traces):
    """A trace with a hole says where the hole is."""
    write_traces([span for span in whole_request(A) if span.service != "inference"])
    assert "incomplete: no span of inference" in run("show", A).stdout


def test_show_as_json_gives_the_spans(run, whole_request, write_traces):
    """A whole trace as JSON is exit code 0 and all spans, the tree's top first."""
    write_traces(whole_request(A))
    result = run("show", A[:6], "--json")
    shown = json.loads(result.stdout)
    assert (result.exit_code, len(shown["spans"]), shown["spans"][0]["span_id"]) == (0, 7, "g")
    assert shown["spans"][2]["self_ms"] == 7.0


@pytest.mark.parametrize(
    "lost", [{"ic", "is", "p", "d"}, {"gc"}], ids=["a hop is missing", "a parent is missing"]
)
def test_show_as_json_exits_1_if_anything_is_missing(run, whole_request, write_traces, lost):
    """A program can rely on the exit code."""
    write_traces([span for span in whole_request(A) if span.span_id not in lost])
    result = run("show", A, "--json")
    assert (result.exit_code, json.loads(result.stdout)["trace_id"]) == (1, A)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "ff"), "No trace id begins with ff"),
        (("show", "last"), "There are no traces yet"),
    ],
)
def test_a_trace_that_is_not_there_is_one_clear_sentence(run, words, said):
    """The sentence names the folder that was looked in, and the exit code says no."""
    result = run(*words)
    assert (result.exit_code, said in result.stderr, "Traceback" in result.output) == (
        1,
        True,
        False,
    )
