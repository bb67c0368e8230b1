"""Traces while they are being written."""

from __future__ import annotations

from vedette.traces.follow import Follower
from vedette.traces.growing import GrowingFiles
from vedette.traces.live import LiveTraces

A, B, C = "a" * 32, "b" * 32, "c" * 32


def ids(traces):
    return [trace.trace_id for trace in traces]


def test_only_what_is_new_is_read_and_only_whole_lines(span, write_traces):
    """A look returns each span once; half a line waits for its other half."""
    folder = write_traces([span("old", at=(0, 1))])
    files = GrowingFiles(folder)
    path = folder / "gateway-1-2-1.jsonl"
    write_traces([span("new", at=(0, 1))])
    with path.open("r+b") as file:
        data = file.read()
        file.truncate(len(data) - 20)
    assert files.read() == []
    with path.open("ab") as file:
        file.write(data[-20:])
    assert [found.span_id for found in files.read()] == ["new"]
    assert files.read() == []


def test_a_backlog_begins_at_a_line(span, write_traces):
    """Of what is there already, as many whole lines as fit are read."""
    folder = write_traces([span(str(number), at=(0, 1)) for number in range(10)])
    size = (folder / "gateway-1-2-1.jsonl").stat().st_size
    read = GrowingFiles(folder, backlog_bytes=size // 10 * 3 + 5).read()
    assert [found.span_id for found in read] == ["7", "8", "9"]
    assert len(GrowingFiles(folder, backlog_bytes=size).read()) == 10


def test_a_file_that_appears_later_is_read_from_its_start(span, write_traces):
    """A service that starts, or a file that is full, makes a new one."""
    folder = write_traces([])
    files = GrowingFiles(folder)
    write_traces([span("x", at=(0, 1), service="inference")])
    assert [found.span_id for found in files.read()] == ["x"]


def test_a_trace_is_handed_out_once_it_has_settled(whole_request, write_traces):
    """Not when its root comes but a moment later, when the others have written theirs."""
    folder = write_traces(whole_request(A))
    follower = Follower(folder)
    spans = whole_request(B)
    write_traces([s for s in spans if s.service == "gateway"])
    assert follower.poll(now_s=10.0) == []
    write_traces([s for s in spans if s.service != "gateway"])
    assert follower.poll(now_s=10.3) == []
    [trace] = follower.poll(now_s=10.7)
    assert (trace.trace_id, trace.is_whole) == (B, True)


def test_a_late_span_does_not_show_its_trace_again(whole_request, write_traces):
    """What comes after a trace was handed out is not a trace of its own."""
    folder = write_traces([])
    follower = Follower(folder)
    *spans, late = whole_request(A)
    write_traces(spans)
    follower.poll(now_s=0)
    assert ids(follower.poll(now_s=1)) == [A]
    write_traces([late])
    follower.poll(now_s=2)
    assert follower.poll(now_s=100) == []


def test_a_trace_whose_root_never_comes_is_shown_in_the_end(whole_request, write_traces):
    """As when the gateway was killed: late is better than never."""
    follower = Follower(write_traces([]))
    write_traces([s for s in whole_request(A) if s.service != "gateway"])
    assert follower.poll(now_s=0) == follower.poll(now_s=20) == []
    assert ids(follower.poll(now_s=31)) == [A]


def test_live_traces_grow_and_stay_bounded(span, write_traces):
    """New spans join their trace; the oldest traces make room."""
    folder = write_traces([span("x", at=(0, 9), trace_id=A)])
    live = LiveTraces(folder, kept=2)
    assert ids(live.latest()) == [A]
    write_traces([span("y", "x", at=(1, 2), trace_id=A), span("z", at=(3, 4), trace_id=B)])
    latest = live.latest()
    assert [(trace.trace_id, len(trace.spans)) for trace in latest] == [(B, 1), (A, 2)]
    write_traces([span("z", at=(5, 6), trace_id=C)])
    assert ids(live.latest()) == [C, B]
