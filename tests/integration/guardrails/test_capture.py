"""Content capture: for development, on this machine, and without personal data even there."""

from __future__ import annotations

import json

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from guardrails.detectors import builtin
from guardrails.findings import Direction, Role
from guardrails.pipeline.checking import Checker
from guardrails.settings import GuardrailsSettings
from guardrails.telemetry.capture import Capture
from guardrails.window.surroundings import Text
from servicekit.settings import SettingsError


@pytest.mark.parametrize(
    ("variable", "value"), [("HOST", "0.0.0.0"), ("SOCKET", "/run/guard.sock"), ("HOST", "::")]
)
def test_it_is_refused_where_others_can_reach_it(monkeypatch, variable, value):
    """A sidecar's socket counts as elsewhere too."""
    monkeypatch.setenv("VEDETTE_GUARDRAILS_CAPTURE_CONTENT", "true")
    monkeypatch.setenv(f"VEDETTE_GUARDRAILS_{variable}", value)
    with pytest.raises(SettingsError, match="CAPTURE_CONTENT is for development"):
        GuardrailsSettings.load()


def test_it_is_accepted_on_loopback(monkeypatch):
    """As a developer would set it."""
    monkeypatch.setenv("VEDETTE_GUARDRAILS_CAPTURE_CONTENT", "true")
    assert GuardrailsSettings.load().capture_content


async def test_a_span_holds_the_text_without_personal_data():
    """The words are there, the address is not."""
    detectors = {detector.name: detector for detector in builtin()}
    capture = Capture(detectors, Checker(secret=b"0" * 16))
    span = TracerProvider().get_tracer("test").start_span("check")
    with trace.use_span(span):
        text = Text(role=Role.USER, text="Write to jo@example.com about the harbour.")
        await capture.note([text], Direction.INPUT)
    [message] = json.loads(span.attributes["gen_ai.input.messages"])
    assert ("user", "Write to [EMAIL] about the harbour.") == (message["role"], message["content"])
