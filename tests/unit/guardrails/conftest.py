"""Policies over the built-in detectors, compiled once for all tests."""

from __future__ import annotations

import time

import pytest
from hypothesis import settings

from guardrails.detectors import builtin
from guardrails.findings import Direction, Role
from guardrails.policy import PolicyStore

settings.register_profile("unit", max_examples=100, deadline=None)
settings.load_profile("unit")


@pytest.fixture(scope="session")
def detectors():
    return {detector.name: detector for detector in builtin()}


@pytest.fixture(scope="session")
def store(detectors):
    return PolicyStore(folder=None, default_name="default", detectors=detectors)


@pytest.fixture(scope="session")
def open_output(store):
    """Opens a window on an answer under a packaged policy."""

    def open_window(policy="default"):
        return store.get(policy).open(
            direction=Direction.OUTPUT, role=Role.ASSISTANT, clock=time.monotonic
        )

    return open_window
