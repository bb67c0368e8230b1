"""A model as the kernels read it: in memory, and as a file that a start reads in one go.

The file is one of safetensors, in a folder with its SHA-256. Every array takes a multiple of 64
bytes, so that the arrays lie in the file without gaps and in memory where the kernels want them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import save_file

from inference.backends.pages import pages

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[np.generic]]

__all__ = ["DamagedError", "Numbers", "Packed", "read", "save"]

_FILE, _CHECKSUM = "model.safetensors", "model.sha256"
_TYPES = {"U8": np.uint8, "U16": np.uint16, "F32": np.float32}


class DamagedError(Exception):
    """The file is not what was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """The sizes of a model."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    epsilon: float
    rotation_scale: float  # of the cosines and sines that turn queries and keys
    vocabulary_size: int
    max_positions: int
    parameters: int

    @property
    def token_bytes(self) -> int:
        """Bytes of cache that one token takes."""
        return self.layers * 2 * self.kv_heads * self.head_size * 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A model's sizes and weights; `weights` says what is in the arrays."""

    numbers: Numbers
    arrays: Arrays

    @property
    def num_bytes(self) -> int:
        """Memory that the weights take."""
        return sum(array.nbytes for array in self.arrays.values())


def save(packed: Packed, folder: Path) -> None:
    """Write a model into a folder."""
    metadata = {"numbers": json.dumps(asdict(packed.numbers))}
    save_file(dict(packed.arrays), folder / _FILE, metadata=metadata)
    (folder / _FILE).chmod(0o644)  # safetensors lets nobody else read it
    with (folder / _FILE).open("rb") as file:
        (folder / _CHECKSUM).write_text(hashlib.file_digest(file, "sha256").hexdigest())


def read(folder: Path) -> Packed:
    """Read what was written.

    Raises:
        DamagedError: if it is something else.
    """
    try:
        expected = (folder / _CHECKSUM).read_text()
        with (folder / _FILE).open("rb") as file:
            prefix = file.read(8)
            text = file.read(int.from_bytes(prefix, "little"))
            header = json.loads(text)
            metadata = header.pop("__metadata__")
            memory = pages(max(entry["data_offsets"][1] for entry in header.values()), huge=True)
            file.readinto(memory)
    except (OSError, ValueError, LookupError) as error:
        raise DamagedError from error
    digest = hashlib.sha256(prefix + text)
    digest.update(memory)
    if digest.hexdigest() != expected:
        raise DamagedError
    arrays = {
        name: np.frombuffer(
            memory,
            dtype=_TYPES[entry["dtype"]],
            count=int(np.prod(entry["shape"])),
            offset=entry["data_offsets"][0],
        ).reshape(entry["shape"])
        for name, entry in header.items()
    }
    return Packed(numbers=Numbers(**json.loads(metadata["numbers"])), arrays=arrays)
