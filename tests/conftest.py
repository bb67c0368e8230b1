"""What holds for every test."""

from __future__ import annotations

import os

# Where models lie and which environment runs are the machine's business; nothing else may leak in.
_KEPT = {"VEDETTE_HOME", "VEDETTE_VENV"}


def pytest_configure():
    """A variable in the developer's shell never changes what a test sees, nor does its width."""
    os.environ.pop("COLUMNS", None)
    for variable in os.environ.keys() - _KEPT:
        if variable.startswith("VEDETTE_"):
            del os.environ[variable]
