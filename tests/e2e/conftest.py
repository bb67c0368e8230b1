"""Three real processes on Unix sockets of their own, as a deployment would run them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICES = {
    "guardrails": "vedette.guardrails.v1.GuardrailsService",
    "inference": "vedette.inference.v1.InferenceService",
    "gateway": "vedette.gateway.v1.GatewayService",
}


@dataclass
class Stack:
    """Gateway, guardrails and inference, each a process with a socket and a log."""

    folder: Path
    environment: dict[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def target(self, name: str) -> str:
        return f"unix:{self.folder / name}.sock"

    @property
    def gateway(self) -> str:
        return self.target("gateway")

    def start(self, name: str) -> None:
        with self._log(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", name],
                env=self._environment(name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_serving(self, name: str, timeout_s: float = 240) -> None:
        """Return once the service reports SERVING under its own name."""
        end_s = time.monotonic() + timeout_s
        with grpc.insecure_channel(self.target(name)) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest(service=SERVICES[name])
            while time.monotonic() < end_s:
                if self.processes[name].poll() is not None:
                    break
                try:
                    answers = stub.Watch(request, timeout=2, wait_for_ready=True)
                    for answer in answers:
                        if answer.status == health_pb2.HealthCheckResponse.SERVING:
                            answers.cancel()
                            return
                except grpc.RpcError:
                    continue
        raise AssertionError(f"{name} did not become ready:\n{self.log(name)}")

    def stop(self, name: str, number: int = signal.SIGTERM) -> int:
        process = self.processes[name]
        if process.poll() is None:
            process.send_signal(number)
        return process.wait(30)

    def stop_all(self) -> None:
        for name in reversed(SERVICES):
            if name in self.processes:
                self.stop(name)

    def log(self, name: str) -> str:
        path = self._log(name)
        return path.read_text() if path.exists() else ""

    def log_lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log(name).splitlines() if line.startswith("{")]

    def exported(self) -> str:
        """Everything that the processes wrote about themselves: spans and logs."""
        files = [*self.folder.rglob("*.jsonl"), *self.folder.glob("*.log")]
        return "\n".join(path.read_text() for path in files)

    def spans(self, trace_id: str) -> list[dict[str, Any]]:
        """The spans of one trace, each with its service's name."""
        found = []
        for path in self.folder.rglob("*.jsonl"):
            for line in path.read_text().splitlines():
                for resource in json.loads(line)["resourceSpans"]:
                    names = {
                        a["key"]: a["value"].get("stringValue")
                        for a in resource["resource"]["attributes"]
                    }
                    for scope in resource["scopeSpans"]:
                        found += [
                            {**span, "service": names["service.name"]}
                            for span in scope["spans"]
                            if span["traceId"] == trace_id
                        ]
        return found

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _environment(self, name: str) -> dict[str, str]:
        prefix = f"VEDETTE_{name.upper()}_"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("VEDETTE_")}
        environment |= {
            f"{prefix}SOCKET": str(self.folder / f"{name}.sock"),
            f"{prefix}TRACE_DIR": str(self.folder / "traces"),
            f"{prefix}DRAIN_S": "5",
        }
        if name == "gateway":
            environment["VEDETTE_GATEWAY_GUARDRAILS_TARGET"] = self.target("guardrails")
            environment["VEDETTE_GATEWAY_INFERENCE_TARGET"] = self.target("inference")
        own = {k: v for k, v in self.environment.items() if k.startswith((prefix, "VEDETTE_HOME"))}
        return environment | own


def run_stack(environment: dict[str, str]) -> Iterator[Stack]:
    """Start the three services, hand them over, stop them."""
    # Not pytest's folder: a socket's path may have 107 bytes at most.
    folder = Path(tempfile.mkdtemp(prefix="vedette-"))
    stack = Stack(folder, environment)
    try:
        for name in SERVICES:
            stack.start(name)
        for name in SERVICES:
            stack.wait_serving(name)
        yield stack
    finally:
        stack.stop_all()
        shutil.rmtree(folder)


# A model without weights: it repeats the last user message, a word every few milliseconds.
WEIGHTLESS = {"VEDETTE_INFERENCE_BACKEND": "weightless"}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """The three services around a model without weights; shared by the tests of one file."""
    yield from run_stack(WEIGHTLESS)


@pytest.fixture
def own_stack() -> Iterator[Stack]:
    """The same for one test alone, which may break it; the model takes its time."""
    yield from run_stack(WEIGHTLESS | {"VEDETTE_INFERENCE_WEIGHTLESS_DELAY_MS": "20"})


@pytest.fixture(scope="module")
def model_stack() -> Iterator[Stack]:
    """The three services around the real default model."""
    home = os.environ.get("VEDETTE_HOME")
    yield from run_stack({"VEDETTE_HOME": home} if home else {})
