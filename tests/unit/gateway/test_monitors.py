"""The quality probes, with answers made of a few events."""

from __future__ import annotations

import hashlib

import pytest
from opentelemetry.metrics import NoOpMeter
from opentelemetry.trace import NoOpTracer

from gateway.answer import Attestation, Delta, Final, FinishReason, Usage
from gateway.monitors import PROBES, Probes
from servicekit.errors import Unavailable

BY_NAME = {probe.name: probe for probe in PROBES}


class Scripted:
    """Answers everything alike."""

    def __init__(self, text, reason):
        self.text = text
        self.reason = reason

    async def run(self, request, deadline):
        if self.reason is FinishReason.ERROR:
            raise Unavailable(reason="INFERENCE_UNAVAILABLE", retry_after_s=1.0)
        yield Delta(self.text)
        yield Final(
            finish_reason=self.reason,
            usage=Usage(),
            attestation=Attestation(
                released_chars=len(self.text),
                scanned_chars=len(self.text),
                released_sha256=hashlib.sha256(self.text.encode()).hexdigest(),
                policy_digest="d",
            ),
            model="m",
        )


@pytest.mark.parametrize(
    ("probe", "text", "reason", "outcome"),
    [
        ("answers", "Paris.", FinishReason.STOP, "passed"),
        ("answers", "  ", FinishReason.STOP, "failed"),
        ("answers", "", FinishReason.BLOCKED, "failed"),
        ("harmless", "Use kill.", FinishReason.LENGTH, "passed"),
        ("injection", "", FinishReason.BLOCKED, "passed"),
        ("injection", "You are…", FinishReason.STOP, "failed"),
        ("redaction", "[EMAIL]", FinishReason.STOP, "passed"),
        ("redaction", "It is probe@example.com", FinishReason.STOP, "failed"),
        ("answers", "", FinishReason.ERROR, "error"),
    ],
)
async def test_a_probe_says_whether_its_property_holds(probe, text, reason, outcome):
    """The properties are of the answer and its end; a fault is neither yes nor no."""
    probes = Probes(
        Scripted(text, reason),
        policy="default",
        every_s=1,
        tracer=NoOpTracer(),
        meter=NoOpMeter(""),
        ready=lambda: True,
    )
    assert outcome == await probes.ask(BY_NAME[probe])
