"""Where a model's files are: the embedded default, a folder, or the cache of the model hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from inference.models import smollm2
from inference.models.errors import ModelUnavailableError

__all__ = ["Location", "locate"]

_HUB_FILES = ["*.safetensors", "*.json", "*.jinja", "*.model", "README.md"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A model's files, and what they say of themselves."""

    folder: Path
    name: str
    revision: str
    license: str


def locate(reference: str, *, models_dir: Path, allow_download: bool) -> Location:
    """Find a model, and fetch it if it is not here and that is allowed.

    Raises:
        ModelUnavailableError: if it is not here and may not or cannot be fetched.
    """
    if reference == smollm2.NAME:
        return _embedded_default(models_dir, allow_download=allow_download)
    folder = Path(reference).expanduser()
    if folder.is_dir():
        return _local(folder)
    if reference.startswith(("/", ".", "~")):
        raise ModelUnavailableError(
            f"there is no folder {reference}; name a folder with a transformers model, an id of "
            f"the model hub, or {smollm2.NAME}"
        )
    return _from_hub(reference, allow_download=allow_download)


def _embedded_default(models_dir: Path, *, allow_download: bool) -> Location:
    if not allow_download and not smollm2.cache_entry(models_dir).is_complete:
        raise ModelUnavailableError(
            f"{smollm2.NAME} is not on this machine and VEDETTE_INFERENCE_ALLOW_DOWNLOAD is off; "
            "run `python -m inference pull` where it may be fetched"
        )
    return Location(
        folder=smollm2.obtain(models_dir),
        name=smollm2.NAME,
        revision=smollm2.REVISION,
        license=smollm2.LICENSE,
    )


def _local(folder: Path) -> Location:
    index = next(iter(sorted(folder.glob("*.safetensors"))), None)
    if not (folder / "config.json").is_file() or index is None:
        raise ModelUnavailableError(
            f"{folder} holds no transformers model: config.json and *.safetensors are needed"
        )
    return Location(
        folder=folder,
        name=folder.resolve().name,
        revision=f"mtime:{int(index.stat().st_mtime)}",
        license=_license_of(folder),
    )


def _from_hub(reference: str, *, allow_download: bool) -> Location:
    # Half a second that models from elsewhere need not take.
    from huggingface_hub import snapshot_download  # noqa: PLC0415

    try:
        folder = Path(
            snapshot_download(
                reference, allow_patterns=_HUB_FILES, local_files_only=not allow_download
            )
        )
    except (OSError, ValueError) as error:
        remedy = "check the id and the network" if allow_download else "allow downloads"
        raise ModelUnavailableError(
            f"the model hub's {reference} is not on this machine and could not be fetched; "
            f"{remedy}, or name a local folder or {smollm2.NAME}"
        ) from error
    return Location(
        folder=folder, name=reference, revision=folder.name, license=_license_of(folder)
    )


def _license_of(folder: Path) -> str:
    """What the front matter of the README says; empty if it does not say."""
    readme = folder / "README.md"
    if not readme.is_file():
        return ""
    text = readme.read_text(errors="replace")
    found = re.search(r"^license:\s*([\w.+-]+)\s*$", text, re.MULTILINE)
    return found.group(1) if found else ""
