"""`vedette trace stats`, `diff`, the filters of `ls`, and `show --html`."""

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


@pytest.fixture
def two(span, write_traces):
    """A slow blocked request of acme, and a quick one that failed."""
    write_traces(
        [
            span("a", at=(0, 500), trace_id=A, attributes={
                "vedette.finish_reason": "BLOCKED", "vedette.tenant": "acme"}),
            span("b", "a", at=(0, 400), trace_id=A, name="work"),
            span("c", at=(900, 910), trace_id=B, name="a", status=Status.ERROR),
            span("d", "c", at=(900, 902), trace_id=B, name="work"),
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], [B, A]),
        (["--slow", "100"], [A]),
        (["--error"], [B]),
        (["--blocked"], [A]),
        (["--tenant", "acme"], [A]),
        (["--since", "1s"], []),
        (["-n", "1"], [B]),
        (["--error", "--blocked"], []),
    ],
    ids=str,
)
def test_ls_shows_what_meets_all_conditions(run, two, words, expected):
    """Each option narrows the list."""
    assert [one["trace_id"] for one in json.loads(run("ls", "--json", *words).stdout)] == expected


def test_a_time_that_is_none_is_refused(run):
    """The sentence says what a time looks like."""
    result = run("ls", "--since", "yesterday")
    assert (result.exit_code, "Say 30s, 10m" in result.stderr) == (2, True)


def test_stats_sum_up_by_span(run, two):
    """One line a kind of span; the conditions of `ls` apply."""
    summaries = json.loads(run("stats", "--json").stdout)
    assert [(s["name"], s["count"], s["p50_ns"], s["max_ns"]) for s in summaries] == [
        ("a", 2, 10_000_000, 500_000_000),
        ("work", 2, 2_000_000, 400_000_000),
    ]
    table = run("stats", "--blocked").stdout.splitlines()
    assert [line.split()[:3] for line in table[1:]] == [
        ["gateway", "a", "1"],
        ["gateway", "work", "1"],
    ]


def test_diff_says_what_changed_and_where_it_did(run, two):
    """The change of a span, and the part of it that is its own."""
    pairs = json.loads(run("diff", A, B, "--json").stdout)
    assert [(p["name"], p["change_ms"], p["waited_change_ms"]) for p in pairs] == [
        ("a", -490, -92),
        ("work", -398, -398),
    ]
    said = run("diff", A[:4], "last").stdout
    assert f"A {A} blocked, 500 ms" in said
    assert "-398 ms" in said


def test_show_html_writes_one_page(run, two, tmp_path):
    """The page is a file to send; nothing else is printed."""
    page = tmp_path / "page.html"
    result = run("show", A, "--html", str(page))
    assert (result.exit_code, result.stdout) == (0, "")
    assert A in page.read_text()


def test_a_page_that_cannot_be_written_is_one_sentence(run, two, tmp_path):
    """The file is named, and the option."""
    result = run("show", A, "--html", str(tmp_path / "missing" / "page.html"))
    assert (result.exit_code, "cannot be written" in result.stderr) == (1, True)


def test_files_and_a_server_cannot_both_be_meant(run):
    """Two places are one too many."""
    result = run("ls", "--from", "http://localhost:1")
    assert (result.exit_code, "name two places" in result.stderr) == (2, True)
