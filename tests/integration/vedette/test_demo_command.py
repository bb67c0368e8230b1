"""`vedette demo` as a process, around a model without weights."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import psutil
import pytest


def demo(home, **environ):
    environ = {"VEDETTE_HOME": str(home), "VEDETTE_INFERENCE_BACKEND": "weightless", **environ}
    return subprocess.run(
        [sys.executable, "-m", "vedette", "demo"],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_it_shows_every_part_and_ends_well(tmp_path):
    """An answer, a block with its finding, a redaction, and one trace across all services."""
    result = demo(tmp_path)
    assert result.returncode == 0, result.stderr
    said = result.stdout
    assert "answer: Why is the sky blue?" in said
    assert re.search(r"blocked: INJECTION in message 1 of the prompt at \d+ to \d+: block", said)
    assert "what the model sees: Write one friendly sentence to [EMAIL] saying" in said
    answer = next(line for line in said.splitlines() if line.startswith("answer: Write one"))
    assert "jane.doe" not in answer
    assert "4111" not in answer
    waterfall = said.partition("4. Where the time of the first answer went")[2].splitlines()
    assert {"gateway", "guardrails", "inference"} <= {line.split(" ")[0] for line in waterfall}
    assert "incomplete" not in said
    assert said.rstrip().endswith("All services stopped.")


def test_a_part_that_is_missing_is_a_failure(tmp_path):
    """Without the spans of one service there is no whole trace, and the exit code says so."""
    result = demo(tmp_path, VEDETTE_GUARDRAILS_TRACE_DIR="none")
    assert result.returncode == 1
    assert "does not show every hop" in result.stderr
    assert "stopping gateway" in result.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_ends_it_with_all_that_it_started(tmp_path, number):
    """Whoever stops it midway finds no process left."""
    environ = {"VEDETTE_HOME": str(tmp_path), "VEDETTE_INFERENCE_BACKEND": "weightless"}
    process = subprocess.Popen(
        [sys.executable, "-m", "vedette", "demo"],
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    line = process.stdout.readline()
    while "inference is ready" not in line:
        assert line, "it ended before it was ready"
        line = process.stdout.readline()
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    process.communicate(timeout=30)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert (alive, len(children) >= 2, process.returncode != 0) == ([], True, True)
