"""Fetch a model before it is needed: what `vedette models pull` runs."""

from __future__ import annotations

import sys

from inference.models import smollm2
from inference.models.errors import ModelUnavailableError
from inference.models.location import locate
from vedette import home

__all__ = ["pull"]


def pull(name: str = smollm2.NAME) -> int:
    """Fetch and convert a model, print where it is; returns an exit code."""
    try:
        location = locate(name, models_dir=home.models_dir(), allow_download=True)
    except ModelUnavailableError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{location.name} {location.revision} is at {location.folder}\n")
    return 0
