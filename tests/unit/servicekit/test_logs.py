"""Log lines are JSON, know their trace, and quote nothing."""

from __future__ import annotations

import contextvars
import io
import json
import logging
import sys

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from servicekit import logs

SECRET = "the launch code is 0000"


@pytest.fixture
def lines(monkeypatch):
    """Read the lines logged so far; logging is left as it was found."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level, structlog.get_config())
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    logs.configure(service="gateway", level="info")

    def read():
        return [json.loads(line) for line in written.getvalue().splitlines()]

    yield read
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    structlog.reset_defaults()
    structlog.configure(**before[2])


def _fail():
    raise ValueError(SECRET)


def test_a_line_is_one_json_object(lines):
    """A line says when, where, how severe and what."""
    logs.get().info("area.happened", size=3)
    [line] = lines()
    assert {key: line[key] for key in ("service", "level", "event", "size")} == {
        "service": "gateway",
        "level": "info",
        "event": "area.happened",
        "size": 3,
    }
    assert line["timestamp"].endswith("Z")


def test_a_line_within_a_span_has_its_ids(lines):
    """Log and trace can be joined."""
    context = SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(1))
    with trace.use_span(NonRecordingSpan(context)):
        logs.get().info("area.happened")
    [line] = lines()
    assert (line["trace_id"], line["span_id"]) == (f"{0xABC:032x}", f"{0xDEF:016x}")


def test_a_line_outside_any_span_has_none(lines):
    """No ids are made up."""
    logs.get().info("area.happened")
    assert "trace_id" not in lines()[0]


@pytest.mark.parametrize(
    "report",
    [
        lambda error: logs.get().error("area.failed", exc_info=error),
        lambda _: logs.get().error("area.failed", exc_info=True),
        lambda _: logs.get().exception("area.failed"),
        lambda _: logs.get().error("area.failed", exc_info=sys.exc_info()),
        lambda _: logging.getLogger("some.library").error("area.failed", exc_info=True),  # noqa: LOG014 - called inside one
    ],
    ids=["the exception", "true", "exception()", "a tuple", "a library"],
)
def test_an_exception_is_logged_without_its_text(report, lines):
    """The type and the places are logged; the text may quote a prompt and is not."""
    try:
        _fail()
    except ValueError as error:
        report(error)
    [line] = lines()
    assert line["error_type"] == "ValueError"
    assert line["error_at"][-1].endswith(":_fail")
    assert SECRET not in json.dumps(line)


def test_what_is_bound_is_on_every_line(lines):
    """A servicer binds what the canonical line of its call should say."""

    def call():
        logs.bind(tenant="a")
        logs.bind(size=3)
        logs.get().info("area.happened")

    contextvars.copy_context().run(call)
    assert ("a", 3) == (lines()[0]["tenant"], lines()[0]["size"])


def test_what_is_bound_stays_in_its_call(lines):
    """Another call's line does not say it."""
    contextvars.copy_context().run(logs.bind, tenant="a")
    logs.get().info("area.happened")
    assert "tenant" not in lines()[0]


def test_less_severe_lines_are_left_out(lines):
    """Below the level nothing is written."""
    logs.get().debug("area.happened")
    assert lines() == []


class Full(io.StringIO):
    """A stream whose disk is full."""

    def write(self, _line):
        raise OSError


def test_a_line_that_cannot_be_written_is_nobodys_failure(monkeypatch, lines):
    """Whoever reports something goes on when the disk behind the log is full."""
    monkeypatch.setattr(sys, "stderr", Full())
    logs.configure(service="gateway", level="info")

    logs.get().info("area.happened")

    assert lines() == []


def test_libraries_are_heard_from_warnings_on(lines):
    """Warnings of libraries come as JSON too, and their chatter does not come."""
    logging.getLogger("some.library").info("chatter")
    logging.getLogger("some.library").warning("trouble")
    assert [(line["event"], line["service"]) for line in lines()] == [("trouble", "gateway")]
