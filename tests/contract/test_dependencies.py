"""Every dependency has a reason."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = (ROOT / "pyproject.toml").read_text()
PROJECT = tomllib.loads(PYPROJECT)["project"]
REQUIREMENTS = sorted(
    {
        requirement
        for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
        for requirement in group
        if not requirement.startswith("vedette[")
    }
)


def _distribution(requirement):
    return re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower()


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_every_dependency_has_its_sentence(requirement):
    """The line of a dependency ends in a comment that says what it is for."""
    lines = [line for line in PYPROJECT.splitlines() if f'"{requirement}"' in line]
    assert [line for line in lines if not re.search(r'",\s+# .{4,}$', line)] == []


def test_no_dependency_owns_our_names():
    """Two distributions on PyPI install packages called `guardrails` and `inference`."""
    names = {_distribution(requirement) for requirement in REQUIREMENTS}
    assert names & {"guardrails-ai", "inference"} == set()


@pytest.mark.parametrize("extra", ["service", "guardrails", "gateway"])
def test_only_inference_needs_torch(extra):
    """The gateway and the guard stay small: no torch, and nothing that brings it."""
    names = {_distribution(entry) for entry in PROJECT["optional-dependencies"][extra]}
    assert names & {"torch", "transformers", "accelerate", "bitsandbytes"} == set()


def test_torch_is_pinned():
    """One version of torch, because another choice changes numerics and pulls other libraries."""
    assert "torch==2.13.0" in PROJECT["optional-dependencies"]["inference"]
