"""Where Vedette keeps files on this machine.

`VEDETTE_HOME` moves everything under one folder; without it, caches and state go where the
operating system wants them.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

__all__ = ["models_dir", "rules_dir", "shadow_dir", "traces_dir"]


def models_dir() -> Path:
    """The folder of downloaded and converted models; safe to delete."""
    return _root(platformdirs.user_cache_path("vedette")) / "models"


def rules_dir() -> Path:
    """The folder of compiled rules; safe to delete."""
    return _root(platformdirs.user_cache_path("vedette")) / "rules"


def traces_dir() -> Path:
    """The folder into which the services write their spans, one OTLP-JSON file a service."""
    return _root(platformdirs.user_state_path("vedette")) / "traces"


def shadow_dir() -> Path:
    """The folder into which guardrails writes what shadow policies would have done differently."""
    return _root(platformdirs.user_state_path("vedette")) / "shadow"


def _root(default: Path) -> Path:
    home = os.environ.get("VEDETTE_HOME")
    return Path(home).expanduser() if home else default
