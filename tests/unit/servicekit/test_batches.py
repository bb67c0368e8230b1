"""Spans between their end and their exporter."""

from __future__ import annotations

import threading

import pytest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from servicekit import batches
from servicekit.batches import Batches


class Exporter(SpanExporter):
    """Keeps the batches that it was given; holds up, or fails, if it is told to."""

    def __init__(self):
        self.batches = []
        self.entered = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.error = None
        self.closed = False

    def export(self, spans):
        self.entered.set()
        self.may_go_on.wait(60)
        if self.error:
            raise self.error
        self.batches.append(list(spans))
        return SpanExportResult.SUCCESS

    def shutdown(self):
        self.closed = True

    @property
    def spans(self):
        return [span for batch in self.batches for span in batch]


@pytest.fixture
def exporter():
    return Exporter()


def test_what_has_ended_leaves_by_itself(exporter):
    """Nobody has to ask for it."""
    processor = Batches(exporter, every_s=0.001)
    processor.on_end("a span")
    assert exporter.entered.wait(60)
    processor.shutdown()
    assert exporter.spans == ["a span"]


def test_what_is_left_leaves_at_the_end(exporter):
    """In order, in batches of bounded size, and then the exporter is closed."""
    processor = Batches(exporter, every_s=3600)
    for number in range(1200):
        processor.on_end(number)
    processor.shutdown()
    assert ([len(batch) for batch in exporter.batches], exporter.closed) == ([512, 512, 176], True)
    assert exporter.spans == list(range(1200))


def test_a_slow_exporter_costs_the_newest_and_no_memory(exporter, monkeypatch):
    """What has no room is counted and reported."""
    monkeypatch.setattr(batches, "_QUEUE", 10)
    exporter.may_go_on.clear()
    processor = Batches(exporter, every_s=0.001)
    processor.on_end("first")
    assert exporter.entered.wait(60)
    for number in range(15):
        processor.on_end(number)
    exporter.may_go_on.set()
    processor.shutdown()
    assert exporter.spans == ["first", *range(10)]


def test_an_exporter_that_fails_is_asked_again(exporter):
    """One batch is lost, and the next one leaves."""
    processor = Batches(exporter, every_s=3600)
    exporter.error = RuntimeError("no text of an error is logged")
    processor.on_end("lost")
    assert processor.force_flush()
    exporter.error = None
    processor.on_end("kept")
    processor.shutdown()
    assert exporter.spans == ["kept"]


def test_no_span_is_lost_between_threads(exporter):
    """Spans end in any thread."""
    processor = Batches(exporter, every_s=0.001)
    threads = [
        threading.Thread(target=lambda: [processor.on_end(n) for n in range(200)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    processor.shutdown()
    assert sorted(exporter.spans) == sorted(list(range(200)) * 4)
