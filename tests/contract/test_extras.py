"""Each extra is enough for its service, alone in an environment of its own.

An environment is made for each and the wheel is installed with that one extra, so that nothing of
the developer's environment can help.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from vedette import services

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "transformers", "bitsandbytes", "accelerate"}
# Modules that must not be importable where only this is installed.
ABSENT = {
    "": HEAVY | {"onnxruntime", "redis", "structlog", "pydantic_settings", "opentelemetry.sdk"},
    "gateway": HEAVY | {"onnxruntime", "tokenizers"},
    "guardrails": HEAVY,
    "inference": {"onnxruntime"},
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The distribution as it would be published."""
    folder = tmp_path_factory.mktemp("wheel")
    _pip("wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
    [built] = folder.glob("*.whl")
    return built


def _pip(*arguments):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _environment(folder, requirement):
    """The interpreter of a new environment that holds this and nothing else."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    _pip("--python", python, "install", "--quiet", "--no-compile", requirement)
    return python


def _run(python, program, folder, **variables):
    """What a program prints, run where nothing of the checkout is in reach."""
    return subprocess.run(
        [python, "-I", "-c", program],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)} | variables,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout


def _importable(python, modules, folder):
    program = (
        "import importlib.util as u, sys\n"
        "def found(name):\n"
        "    try: return u.find_spec(name) is not None\n"
        "    except ModuleNotFoundError: return False\n"
        f"print(*[name for name in {sorted(modules)!r} if found(name)])"
    )
    return set(_run(python, program, folder).split())


def _serves(python, service, folder):
    """Start the service, ask for its health until it answers, and stop it; its exit code."""
    socket = Path(tempfile.mkdtemp(dir=folder)) / "s"
    prefix = f"VEDETTE_{service.name.upper()}_"
    variables = {"VEDETTE_HOME": str(folder), f"{prefix}SOCKET": str(socket)}
    if service.name == "inference":
        variables["VEDETTE_INFERENCE_BACKEND"] = "weightless"
    process = subprocess.Popen(
        [python, "-I", "-m", service.name],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)} | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        ask = (
            "import grpc; from grpc_health.v1 import health_pb2 as pb, health_pb2_grpc as stubs\n"
            f"with grpc.insecure_channel('unix:{socket}') as channel:\n"
            "    request = pb.HealthCheckRequest(service=" + repr(service.grpc_name) + ")\n"
            "    stub = stubs.HealthStub(channel)\n"
            "    print(stub.Check(request, timeout=200, wait_for_ready=True).status)"
        )
        answer = _run(python, ask, folder).strip()
    finally:
        process.terminate()
        _, log = process.communicate(timeout=30)
    assert answer in ("1", "2"), log
    return process.returncode


def test_the_client_needs_no_extra(wheel, tmp_path):
    """The smallest installation has the client, and none of the services' libraries."""
    python = _environment(tmp_path / "venv", wheel)
    assert _importable(python, ABSENT[""], tmp_path) == set()
    assert _run(python, "import vedette, vedette.cli; print(vedette.Client)", tmp_path)


@pytest.mark.parametrize("name", ["gateway", "guardrails", "inference"])
def test_an_extra_is_enough_for_its_service(name, wheel, tmp_path):
    """The service starts, answers for its health and stops, without the others' libraries."""
    [service] = [service for service in services.SERVICES if service.name == name]
    python = _environment(tmp_path / "venv", f"vedette[{name}] @ {wheel.as_uri()}")
    assert _importable(python, ABSENT[name], tmp_path) == set()
    assert _serves(python, service, tmp_path) == 0
