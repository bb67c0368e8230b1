"""What each package offers is written down and true."""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest

PACKAGES = ("vedette", "servicekit", "inference", "guardrails", "gateway")

# Generated stubs, and training, which needs an extra of its own.
ELSEWHERE = r"^vedette\.\w+\.v1|^guardrails\.training"


def _modules():
    for package in PACKAGES:
        root = importlib.import_module(package)
        yield package
        for found in pkgutil.walk_packages(root.__path__, f"{package}."):
            if not found.name.endswith("__main__") and not re.search(ELSEWHERE, found.name):
                yield found.name


@pytest.mark.parametrize("name", list(_modules()))
def test_every_offered_name_exists(name):
    """`__all__` names only what the module has, each once."""
    module = importlib.import_module(name)
    offered = list(getattr(module, "__all__", ()))
    assert [entry for entry in offered if not hasattr(module, entry)] == []
    assert len(offered) == len(set(offered))


def test_the_client_offers_what_it_promises():
    """Nothing public stands in `vedette` that `__all__` does not name."""
    vedette = importlib.import_module("vedette")
    ours = {
        name
        for name, value in vars(vedette).items()
        if not name.startswith("_")
        and name != "annotations"
        and not isinstance(value, type(importlib))
    }
    assert ours == set(vedette.__all__)


# What other people's programs import. Taking a name away breaks them: that needs a major version.
PROMISED = {
    "vedette": {
        "AnswerStream",
        "AttestationError",
        "Client",
        "DeadlineExceededError",
        "Delta",
        "ExhaustedError",
        "Final",
        "Finding",
        "FinishReason",
        "GenerateResponse",
        "InvalidArgumentError",
        "Message",
        "NotFoundError",
        "Role",
        "Started",
        "UnavailableError",
        "UnimplementedError",
        "VedetteError",
        "assistant",
        "document",
        "system",
        "tool",
        "user",
    },
    "servicekit.process": {"App", "Kit", "Process", "StartupError", "main"},
    "servicekit.settings": {"Port", "ServiceSettings", "SettingsError"},
    "servicekit.interceptors": {"Around"},
}


@pytest.mark.parametrize("name", PROMISED)
def test_promised_names_stay(name):
    """A name that was once promised is still offered."""
    assert PROMISED[name] <= set(importlib.import_module(name).__all__)
