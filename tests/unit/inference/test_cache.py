"""Folders that are complete or not there."""

from __future__ import annotations

import os
import threading
import time

import pytest

from inference.models.cache import CacheEntry


def test_a_folder_is_made_once(tmp_path):
    """Many at once make it one time, and all get it complete."""
    entry, made, barrier = CacheEntry(tmp_path / "models" / "m"), [], threading.Barrier(4)

    def make(folder):
        made.append(folder)
        (folder / "weights").write_text("all of them")

    def obtain():
        barrier.wait()
        assert "all of them" == (entry.obtain(make) / "weights").read_text()

    threads = [threading.Thread(target=obtain) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 == len(made)


def test_a_failure_leaves_nothing_behind(tmp_path):
    """A folder that could not be made is not there, and the next try starts afresh."""
    entry = CacheEntry(tmp_path / "m")

    def fail(folder):
        (folder / "half").touch()
        raise OSError

    with pytest.raises(OSError):
        entry.obtain(fail)
    assert not entry.is_complete
    assert ["m.lock"] == [path.name for path in tmp_path.iterdir()]


def test_leftovers_of_a_killed_process_go(tmp_path):
    """What a process left that was killed midway is removed by the next."""
    (tmp_path / ".m-killed").mkdir()
    CacheEntry(tmp_path / "m").obtain(lambda folder: None)
    assert not (tmp_path / ".m-killed").exists()


def test_what_nobody_used_for_a_week_goes(tmp_path):
    """When a folder is made, the older ones of its name go, if no service used them of late."""
    for name in ("kernels-old", "kernels-used", "kernels-more-old", "model-old"):
        CacheEntry(tmp_path / name).obtain(lambda folder: None)
        eight_days_ago_s = time.time() - 8 * 24 * 3600
        os.utime(tmp_path / name, (eight_days_ago_s, eight_days_ago_s))
    CacheEntry(tmp_path / "kernels-used").obtain(lambda folder: None)
    CacheEntry(tmp_path / "kernels-new").obtain(lambda folder: None)
    left = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert {"kernels-used", "kernels-new", "kernels-more-old", "model-old"} == left
    assert not (tmp_path / "kernels-old.lock").exists()


def test_a_discarded_folder_is_made_anew(tmp_path):
    """What turned out to be damaged is not there any more."""
    entry = CacheEntry(tmp_path / "m")
    entry.obtain(lambda folder: (folder / "weights").touch())
    entry.discard()
    assert not entry.is_complete
