"""Steps are noted for the record and shown as spans, whatever becomes of them."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.journal import Journal


@pytest.fixture
def spans():
    return InMemorySpanExporter()


@pytest.fixture
def journal(spans):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return Journal(tracer=provider.get_tracer("test"))


def outcomes(journal):
    return [(step.name, step.outcome) for step in journal.steps]


def test_a_step_has_what_is_called_meanwhile_below_it(journal, spans):
    """The inner step ends first, and its span's parent is the outer one."""
    with journal.begin("outer", "done"), journal.begin("inner", "miss") as step:
        step.outcome = "hit"
    inner, outer = spans.get_finished_spans()
    assert [("inner", "hit"), ("outer", "done")] == outcomes(journal)
    assert (outer.context.span_id, None) == (inner.parent.span_id, outer.parent)
    assert "hit" == inner.attributes["vedette.step.outcome"]


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
def test_a_step_that_is_left_by_an_error_has_its_first_outcome(journal, spans, error):
    """And nothing of the error's text."""
    with pytest.raises(error), journal.begin("limits", "refused"):
        raise error("a secret")
    [span] = spans.get_finished_spans()
    assert [("limits", "refused")] == outcomes(journal)
    assert ((), None) == (span.events, span.status.description)


def test_only_the_first_end_counts(journal, spans):
    """What cleans up later changes nothing."""
    step = journal.begin("inference", "unfinished")
    step.end("stop")
    step.end()
    assert ([("inference", "stop")], 1) == (outcomes(journal), len(spans.get_finished_spans()))


def test_a_fork_shares_steps_and_time_and_not_usage(journal):
    """The steps of shared work belong to the request that caused it."""
    fork = journal.fork()
    with fork.begin("cache", "hit"):
        pass
    fork.usage = object()
    assert ([("cache", "hit")], None) == (outcomes(journal), journal.usage)
    assert 0 <= journal.steps[0].offset_ns <= journal.now_ns()
