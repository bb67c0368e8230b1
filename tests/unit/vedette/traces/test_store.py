"""Finding traces in files."""

from __future__ import annotations

import os

import pytest

from vedette.traces.store import AmbiguousIdError, TraceFiles, TraceNotFoundError

A, B = "ab12" + "0" * 28, "ab34" + "0" * 28


def test_a_trace_is_put_together_from_the_files_of_all_services(whole_request, write_traces):
    """Spans of one trace in three files make one trace."""
    trace = TraceFiles(write_traces(whole_request(A))).get(A)
    assert (trace.is_whole, len(trace.spans)) == (True, 7)


@pytest.mark.parametrize("words", [A, "ab12", "AB12"], ids=["whole", "beginning", "upper case"])
def test_an_id_may_be_abbreviated(whole_request, write_traces, words):
    """The beginning of an id is enough when it is only one's."""
    folder = write_traces(whole_request(A) + whole_request(B))
    assert TraceFiles(folder).get(words).trace_id == A


def test_an_ambiguous_beginning_names_the_candidates(whole_request, write_traces):
    """Two traces that begin so are both named."""
    folder = write_traces(whole_request(A) + whole_request(B))
    with pytest.raises(AmbiguousIdError) as raised:
        TraceFiles(folder).get("ab")
    assert sorted(raised.value.matches) == [A, B]


def test_the_last_is_no_question_about_earlier_ones(span, whole_request, write_traces):
    """Who asked what was consumed still finds the request before."""
    name = "vedette.gateway.v1.GatewayService/GetUsage"
    usage = span("u", at=(500, 501), trace_id=B, name=name)
    assert A == TraceFiles(write_traces([*whole_request(A), usage])).last().trace_id


@pytest.mark.parametrize("ask", [lambda files: files.get("ff"), lambda files: files.last()])
def test_nothing_there_is_an_error_of_its_own(tmp_path, ask):
    """A folder without traces, or no folder at all, is not a crash."""
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(TraceNotFoundError):
            ask(TraceFiles(folder))


def test_a_span_id_is_not_a_trace_id(whole_request, write_traces):
    """Only the trace's own id finds it, not that of a span inside."""
    with pytest.raises(TraceNotFoundError):
        TraceFiles(write_traces(whole_request(A))).get("gc")


def test_last_is_the_one_that_began_last(span, write_traces):
    """Not the one that was written last: spans are written when they end."""
    long = span("x", at=(0, 100), trace_id=A)
    short = span("y", at=(50, 60), trace_id=B)
    assert TraceFiles(write_traces([short, long])).last().trace_id == B


def test_a_half_written_line_is_left_for_later(whole_request, write_traces):
    """A service may be writing at this moment."""
    folder = write_traces(whole_request(A))
    with (folder / "gateway-1-2-1.jsonl").open("a") as file:
        file.write('{"resourceSpans": [{"scope')
    assert len(TraceFiles(folder).get(A).spans) == 7


def test_the_latest_is_found_without_reading_everything(span, write_traces):
    """Of files beyond the bound only the end is read, and the oldest not at all."""
    folder = write_traces([span("x", at=(n, n + 1), trace_id=f"{n:032x}") for n in range(100)])
    old = folder / "gateway-0-1-1.jsonl"
    old.write_text((folder / "gateway-1-2-1.jsonl").read_text().replace('"x"', '"y"'))
    os.utime(old, (1, 1))
    traces = TraceFiles(folder, recent_bytes=5_000).recent()
    assert traces[0].trace_id == f"{99:032x}"
    assert 5 < len(traces) < 30
    assert TraceFiles(folder).get(f"{0:032x}").trace_id == f"{0:032x}"


def test_the_latest_are_whole_even_where_files_end_at_different_times(span, write_traces):
    """A trace is not listed without a service only because that service writes more."""
    spans = []
    for number in range(50):
        trace_id, at = f"{number:032x}", (number, number + 1)
        spans.append(span("i", at=at, trace_id=trace_id, service="inference"))
        wordy = {"wordy": "x" * 1000}
        spans.append(span("g", at=at, trace_id=trace_id, attributes=wordy))
    traces = TraceFiles(write_traces(spans), recent_bytes=8_000).recent()
    assert len(traces) > 3
    assert all(len(trace.spans) == 2 for trace in traces)
