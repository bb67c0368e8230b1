"""Our own kernels as a library: compiled once on this machine, or not there at all.

Whoever has a C++ compiler gets them; without one, or on a processor that lacks the instructions,
torch's own operators serve. The library lies in the cache under the hash of its source and flags,
so a changed source is compiled anew, and two processes never build it twice. An image without a
compiler brings it along beside its source: `python -m inference.backends.native` puts it there.

Where the processor has AMX, a process of its own tries it first (`inference.backends.native.amx`):
it is used if it gives the same bits in less time.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from inference.models.cache import CacheEntry

__all__ = ["Kernels", "LayerWeights", "MatrixWeights", "compile_kernels", "load_kernels"]

_HERE = Path(__file__).parent
_SOURCE = _HERE / "kernels.cpp"
# `-w`: GCC 12 warns of uninitialized values inside its own header of intrinsics.
_FLAGS = (
    *("-std=c++20", "-O3", "-fPIC", "-shared", "-pthread", "-w"),
    *("-march=x86-64-v4", "-mavx512vnni", "-mavx512bf16"),
)
_INSTRUCTIONS = {
    *("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"),
    *("avx512_vnni", "avx512_bf16"),
}
_AMX_INSTRUCTIONS = {"amx_tile", "amx_int8"}
_AMX_TRIAL = "inference.backends.native.amx"
# Loops instead of AMX, so that what is built on it can be tested on any processor.
_PLAIN_AMX = "-DVEDETTE_PLAIN_AMX"
_LIBRARY = "kernels.so"
_LIMIT_S = 120
_TRIAL_LIMIT_S = 20


class MatrixWeights(ctypes.Structure):
    """`Matrix` of the source."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("weights", "step", "low", "bias")),
        *((name, ctypes.c_int) for name in ("outputs", "inputs", "group")),
    )


class LayerWeights(ctypes.Structure):
    """`Layer` of the source."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("attention_norm", "mlp_norm")),
        *((name, MatrixWeights) for name in ("qkv", "output", "gate_up", "down")),
    )


class Kernels:
    """The functions of the library, with their types.

    `amx` says whether models are to use AMX; `allow_amx` has to be called before.
    """

    def __init__(self, file: Path) -> None:
        """Open it.

        Raises:
            OSError: if it is no library for this machine.
        """
        library = ctypes.CDLL(str(file))
        number, pointer = ctypes.c_int, ctypes.c_void_p
        self.amx = False
        self.allow_amx = library.vedette_allow_amx
        self.try_amx = library.vedette_try_amx
        self.try_amx.restype = ctypes.c_double
        self.try_amx.argtypes = [number] * 4
        self.new = library.vedette_new
        self.new.restype = pointer
        self.new.argtypes = (*[number] * 7, ctypes.c_float, *[pointer] * 4)
        self.delete = library.vedette_delete
        self.delete.argtypes = (pointer,)
        self.set_layer = library.vedette_set_layer
        self.set_layer.argtypes = (pointer, number, pointer)
        self.set_head = library.vedette_set_head
        self.set_head.argtypes = (pointer, pointer, pointer)
        self.step = library.vedette_step
        self.step.argtypes = (pointer, number, pointer, pointer, pointer, pointer)


def load_kernels(root: Path) -> Kernels | None:
    """The kernels, compiled below this folder if need be; None if this machine cannot have them."""
    available = _cpu_flags()
    if _INSTRUCTIONS - available:
        return None
    file = _HERE / _LIBRARY
    try:
        if not file.exists():
            file = CacheEntry(root / f"kernels-{_key()}").obtain(compile_kernels) / _LIBRARY
        kernels = Kernels(file)
    except (OSError, subprocess.SubprocessError) as error:
        logging.getLogger(__name__).warning(
            "serving without own kernels, several times slower: %s; a C++20 compiler brings them",
            type(error).__name__,
        )
        return None
    if available >= _AMX_INSTRUCTIONS:
        kernels.amx = _passes_trial(file) and bool(kernels.allow_amx())
    return kernels


def _passes_trial(file: Path) -> bool:
    """Whether AMX works, tried in a process of its own that it may end."""
    try:
        subprocess.run(  # noqa: S603 - this interpreter, on a file of ours
            [sys.executable, "-P", "-m", _AMX_TRIAL, str(file)],
            check=True,
            capture_output=True,
            timeout=_TRIAL_LIMIT_S,
        )
    except subprocess.SubprocessError:
        return False
    return True


def compile_kernels(folder: Path, *, plain_amx: bool = False) -> None:
    """Write the library into this folder; with `plain_amx`, one for tests without AMX.

    Raises:
        FileNotFoundError: if there is no compiler.
        subprocess.SubprocessError: if it does not take the source.
    """
    names = (os.environ.get("CXX", ""), "c++", "g++", "clang++")
    compiler = next((found for name in names if name and (found := shutil.which(name))), None)
    if compiler is None:
        raise FileNotFoundError("no C++ compiler")
    subprocess.run(  # noqa: S603 - the compiler that the operator's PATH or CXX names
        [
            compiler,
            *_FLAGS,
            *([_PLAIN_AMX] * plain_amx),
            str(_SOURCE),
            "-o",
            str(folder / _LIBRARY),
        ],
        check=True,
        capture_output=True,
        timeout=_LIMIT_S,
    )


def _key() -> str:
    content = _SOURCE.read_bytes() + " ".join(_FLAGS).encode()
    return hashlib.sha256(content).hexdigest()[:16]


def _cpu_flags() -> set[str]:
    """What the processor can do, as Linux names it; nothing elsewhere."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return set()
    lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())
