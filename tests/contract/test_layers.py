"""The import law holds."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICES = ("gateway", "guardrails", "inference")
WIRE = ("grpc", "grpc_status", "opentelemetry.sdk", "vedette.gateway", "vedette.guardrails")
WIRE += ("vedette.inference",)

# The modules of each service that may know that it is served.
EDGE = {
    "gateway": {
        "__main__",
        "app",
        "catalogue",
        "guard",
        "guard_messages",
        "identity.interceptor",
        "model",
        "service",
        "upstreams",
        "wire",
    },
    "guardrails": {
        "__main__",
        "app",
        "requests.admission",
        "requests.arriving",
        "requests.reviewing",
        "service",
        "wire",
    },
    "inference": {"__main__", "app", "service", "translate"},
}


def _imported(path):
    """The modules that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _module(path, service):
    return ".".join(path.relative_to(ROOT / service).with_suffix("").parts)


def _touches(module, packages):
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def test_imports_point_down():
    """Services know servicekit, servicekit knows vedette, and no arrow points elsewhere."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=ROOT,
        env=os.environ | {"NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_the_domain_does_not_know_that_it_is_served(service):
    """Outside the edge of a service nothing imports grpc, the stubs or the tracing SDK."""
    guilty = {
        f"{path.relative_to(ROOT)} imports {module}"
        for path in (ROOT / service).rglob("*.py")
        if _module(path, service) not in EDGE[service]
        for module in _imported(path)
        if _touches(module, WIRE)
    }
    assert guilty == set()


@pytest.mark.parametrize("service", SERVICES)
def test_the_edge_is_no_wider_than_needed(service):
    """Every module named as part of the edge exists."""
    modules = {_module(path, service) for path in (ROOT / service).rglob("*.py")}
    assert EDGE[service] - modules == set()


@pytest.mark.parametrize("package", ["vedette", "servicekit", *SERVICES])
def test_nobody_imports_the_tests(package):
    """What ships does not lean on tests, benchmarks or scripts."""
    guilty = [
        str(path.relative_to(ROOT))
        for path in (ROOT / package).rglob("*.py")
        if any(_touches(module, ("tests", "benchmarks", "scripts")) for module in _imported(path))
    ]
    assert guilty == []
