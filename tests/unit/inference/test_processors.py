"""How many threads compute."""

from __future__ import annotations

import os

import pytest

from inference.backends import processors

PINNED = len(os.sched_getaffinity(0))


@pytest.fixture
def available(tmp_path):
    """Counts with these contents of `cpu.max`, from the outermost group to the process's own."""

    def count(*quotas, own="0::/pod/container\n"):
        (tmp_path / "own").write_text(own)
        for folder, quota in zip(("pod/container", "pod", "."), reversed(quotas), strict=False):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / "cpu.max").write_text(quota)
        return processors.available(cgroups=tmp_path, own=tmp_path / "own")

    return count


@pytest.mark.parametrize(
    ("quotas", "expected"),
    [
        pytest.param([], PINNED, id="no-quota"),
        pytest.param(["max 100000\n"], PINNED, id="without-limit"),
        pytest.param(["100000 100000\n"], 1, id="one"),
        pytest.param(["199999 100000\n"], 1, id="almost-two"),
        pytest.param(["50000 100000\n"], 1, id="half-a-processor"),
        pytest.param(["100000 100000\n", "max 100000\n"], 1, id="of-the-group-above"),
        pytest.param(["6400000 100000\n"], PINNED, id="more-than-there-are"),
    ],
)
def test_a_containers_quota_counts(available, quotas, expected):
    """No more threads than the quota lets run at the same time, and never none."""
    assert expected == available(*quotas)


def test_without_control_groups_of_version_2_there_is_no_quota(available):
    """Another kernel's groups are left alone."""
    assert PINNED == available("100000 100000\n", own="1:cpu:/pod/container\n")
