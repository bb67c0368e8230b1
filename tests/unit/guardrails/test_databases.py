"""Compiled rules are kept, and never trusted beyond their digest."""

from __future__ import annotations

import os
import time

import pytest

from guardrails.rules.databases import database
from vedette import home


@pytest.fixture(autouse=True)
def rules_dir(monkeypatch, tmp_path):
    monkeypatch.setenv("VEDETTE_HOME", str(tmp_path))
    return home.rules_dir()


def ends(data):
    """Where the expression matches, by a database that may have been compiled or loaded."""
    found = []
    database({7: b"ab+c"}, flags=0).scan(
        data, match_event_handler=lambda number, _start, end, *_: found.append((number, end))
    )
    return found


def test_a_loaded_database_answers_like_a_compiled_one(rules_dir):
    """The second one comes from the one file that the first one left."""
    compiled = ends(b"xabbc abc")
    [path] = rules_dir.iterdir()
    written = path.stat().st_ino
    assert [(7, 5), (7, 9)] == compiled == ends(b"xabbc abc")
    assert written == path.stat().st_ino


def test_files_that_nobody_used_for_a_month_go_when_another_is_written(rules_dir):
    """Each version of the rules leaves a file; the one in use is touched whenever it is read."""
    rules_dir.mkdir(parents=True, exist_ok=True)
    old, used = rules_dir / "old.hs", rules_dir / "used.hs"
    for path in (old, used):
        path.write_bytes(b"rules")
    long_ago_s = time.time() - 31 * 86_400
    os.utime(old, (long_ago_s, long_ago_s))
    ends(b"")
    assert not old.exists()
    assert used.exists()


@pytest.mark.parametrize("damage", [b"", b"short", None], ids=["empty", "short", "a byte changed"])
def test_a_damaged_file_is_compiled_again(rules_dir, damage):
    """And is put right."""
    ends(b"")
    [path] = rules_dir.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]) if damage is None else damage)
    assert ends(b"abc") == [(7, 3)]
    assert path.read_bytes()[:32] == whole[:32]


def test_a_folder_that_cannot_be_written_costs_time_only(monkeypatch, tmp_path):
    """A read-only container starts a little later, that is all."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("VEDETTE_HOME", str(tmp_path / "file"))
    assert ends(b"abc") == [(7, 3)]
