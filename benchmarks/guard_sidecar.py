"""The sidecar as its callers see it: time of a check, and resident memory after all of them."""

from __future__ import annotations

import itertools
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import psutil

from vedette.guardrails.v1 import guardrails_pb2 as pb
from vedette.guardrails.v1 import guardrails_pb2_grpc as stubs

if TYPE_CHECKING:
    from collections.abc import Mapping

ROUNDS = 20


def sidecar(texts: Mapping[str, str]) -> dict[str, Any]:
    """Check each text as a document under the default policy, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "guard.sock"
        settings = {"SOCKET": str(socket), "TRACE_DIR": "none", "SHADOW_DIR": "none"}
        named = {f"VEDETTE_GUARDRAILS_{name}": value for name, value in settings.items()}
        process = subprocess.Popen(
            [sys.executable, "-m", "guardrails"],
            env=os.environ | named,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            with grpc.insecure_channel(f"unix:{socket}") as channel:
                grpc.channel_ready_future(channel).result(timeout=60)
                guard = stubs.GuardrailsServiceStub(channel)
                result: dict[str, Any] = {name: _timed(guard, text) for name, text in texts.items()}
            resident = psutil.Process(process.pid).memory_info().rss
            result["resident memory, MB"] = resident / 1e6
        finally:
            process.terminate()
            process.wait(timeout=30)
    return result


def _timed(guard: stubs.GuardrailsServiceStub, text: str) -> dict[str, float]:
    """Of texts that differ in every stretch: the guard remembers the scores of those it judged."""
    times = []
    day = itertools.count(1)
    for _ in range(ROUNDS + 1):
        fresh = re.sub("Tuesday", lambda _: f"day {next(day)}", text)
        segment = pb.Segment(role=pb.ROLE_DOCUMENT, text=fresh)
        request = pb.CheckTextRequest(direction=pb.DIRECTION_INPUT, segments=[segment])
        started = time.perf_counter()
        guard.CheckText(request)
        times.append((time.perf_counter() - started) * 1000)
    return {"p50 ms": statistics.median(times[1:]), "best ms": min(times[1:])}
