"""`vedette trace tail` as a process."""

from __future__ import annotations

import subprocess
import sys

A, B = "ab12" + "0" * 28, "cd34" + "0" * 28


def test_traces_appear_as_they_end(tmp_path, write_traces, whole_request):
    """What was there before is not shown, what comes is, and the conditions apply."""
    write_traces(whole_request("ff" * 16))
    command = [sys.executable, "-m", "vedette", "trace", "tail", "--dir", str(tmp_path)]
    process = subprocess.Popen(
        [*command, "--blocked", "-n", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "waiting for traces" in process.stderr.readline()
    write_traces(whole_request(A))
    write_traces(whole_request(B, **{"vedette.finish_reason": "BLOCKED"}))
    said, _ = process.communicate(timeout=30)
    _, line = said.splitlines()
    assert (process.returncode, line.split()[0]) == (0, B[:12])
