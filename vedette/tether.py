"""Becomes another program that ends when its parent ends.

Run by path, `python -I -S tether.py PARENT_PID PROGRAM ARGUMENT...`, and made of the standard
library alone, so that it costs a few milliseconds. A function between fork and exec would be
shorter, and unsafe: forking a process in which gRPC has threads can hang the child.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def _main(parent_pid: int, argv: list[str]) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # The parent may have ended before the line above.
    if os.getppid() == parent_pid:
        os.execv(argv[0], argv)  # noqa: S606  # no shell wanted


if __name__ == "__main__":
    _main(int(sys.argv[1]), sys.argv[2:])
