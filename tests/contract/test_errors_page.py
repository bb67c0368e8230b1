"""Every way in which a call can fail is documented."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from servicekit.errors import Fault
from vedette.gateway.v1 import gateway_pb2
from vedette.guardrails.v1 import guardrails_pb2
from vedette.inference.v1 import inference_pb2

ROOT = Path(__file__).parents[2]
PACKAGES = ("servicekit", "gateway", "guardrails", "inference")
PAGE = (ROOT / "docs" / "errors.md").read_text()
RPCS = [
    f"{service.name}/{method.name}"
    for file in (gateway_pb2, guardrails_pb2, inference_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


def _raised():
    """The reasons that appear in the code: those of the fault classes and `reason=` arguments."""
    yield from (fault.default_reason for fault in Fault.__subclasses__())
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.keyword) or node.arg != "reason":
                    continue
                value = node.value
                if isinstance(value, ast.Constant) and re.fullmatch(r"[A-Z_]+", str(value.value)):
                    yield value.value


def _named():
    """Every word in capitals that appears in the code as a text of its own."""
    texts = {fault.default_reason for fault in Fault.__subclasses__()}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    texts.add(node.value)
    return texts


def _documented():
    return set(re.findall(r"^\| `([A-Z_]+)` \|", PAGE, re.MULTILINE))


def test_every_reason_is_documented():
    """A reason that the code gives is on the page."""
    assert set(_raised()) - _documented() == set()


def test_every_documented_reason_is_given():
    """What the page explains can happen: a service names it somewhere."""
    named = _named()
    # A reason for a part that failed is the part's name and this ending.
    endings = tuple(text for text in named if re.fullmatch(r"_[A-Z]+", text))
    assert [r for r in _documented() - named if not r.endswith(endings)] == []


@pytest.mark.parametrize("rpc", RPCS)
def test_every_rpc_says_how_it_fails(rpc):
    """Each RPC has a line that names the reasons to expect, and the page explains each of them."""
    [line] = [line for line in PAGE.splitlines() if line.startswith(f"| `{rpc}` |")]
    reasons = set(re.findall(r"`([A-Z_]+)`", line))
    assert reasons
    assert reasons - _documented() == set()
