"""Folders that are complete or not there."""

from __future__ import annotations

import threading

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
