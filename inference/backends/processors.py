"""How many processors there are to compute on."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["available"]

_CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def available(*, cgroups: Path = _CGROUPS, own: Path = _OWN) -> int:
    """Processors that this process may use: those it is pinned to, within its container's quota.

    A quota of two and a half processors counts as two: threads that wait for each other would all
    stand still whenever the last half is used up.

    Args:
        cgroups: where the kernel shows version 2 of its control groups.
        own: which of them this process is in.
    """
    return max(1, min([_pinned(), *(int(quota) for quota in _quotas(cgroups, own))]))


def _pinned() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(cgroups: Path, own: Path) -> list[float]:
    """What `cpu.max` allows in the process's group and in those above it, in processors."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return []
    group = next((line.removeprefix("0::/") for line in lines if line.startswith("0::")), None)
    if group is None:
        return []
    folder = cgroups / group
    found = []
    for place in (folder, *folder.parents):
        try:
            quota, period = (place / "cpu.max").read_text().split()
        except OSError:
            continue  # the root has none, and a container may not see its own
        if quota != "max":
            found.append(int(quota) / int(period))
    return found
