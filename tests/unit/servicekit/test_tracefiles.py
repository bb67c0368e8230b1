"""Span files never outgrow their folder."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from servicekit.tracefiles import TraceFiles

LINE = "x" * 999 + "\n"
LIMIT = 80_000  # eight files of ten lines


def _written(folder):
    return sorted(folder.glob("*.jsonl"), key=lambda path: int(path.stem.rsplit("-", 1)[1]))


def _size(folder):
    return sum(path.stat().st_size for path in folder.glob("*.jsonl"))


@pytest.fixture
def files(tmp_path):
    """A stream of the service gateway into an empty folder."""
    with TraceFiles(tmp_path / "traces", service="gateway", max_bytes=LIMIT) as stream:
        yield stream


def _write(stream, lines):
    for _ in range(lines):
        stream.write(LINE)
    stream.flush()


def test_the_folder_is_made(files, tmp_path):
    """The first file is there at once, named by its service and process."""
    [path] = _written(tmp_path / "traces")
    assert path.name.split("-")[::2] == ["gateway", str(os.getpid())]


def test_a_full_file_is_followed_by_the_next(files, tmp_path):
    """Each file holds its share of the limit, and no line is torn."""
    _write(files, 25)
    assert [path.read_text().count(LINE) for path in _written(tmp_path / "traces")] == [10, 10, 5]


def test_what_is_flushed_can_be_read(files, tmp_path):
    """A reader sees a span as soon as it was exported."""
    files.write(LINE)
    files.flush()
    assert _written(tmp_path / "traces")[0].read_text() == LINE


@pytest.mark.parametrize("lines", [79, 80, 81, 500])
def test_all_files_together_keep_to_the_limit(lines, files, tmp_path):
    """However much is written, the folder holds no more than the limit, and the latest is kept."""
    _write(files, lines)
    assert _size(tmp_path / "traces") <= LIMIT
    assert _size(tmp_path / "traces") >= min(lines * 1000, LIMIT // 2)


def test_files_of_an_earlier_process_count(tmp_path):
    """A restart does not start the count anew: the oldest files go, whoever wrote them."""
    for number in range(20):
        path = tmp_path / f"gateway-1-1-{number}.jsonl"
        path.write_text(LINE * 10)
        os.utime(path, (number, number))
    with TraceFiles(tmp_path, service="gateway", max_bytes=LIMIT):
        pass
    kept = {path.name for path in tmp_path.glob("gateway-1-1-*")}
    assert kept == {f"gateway-1-1-{number}.jsonl" for number in range(13, 20)}


def test_other_services_files_are_left_alone(files, tmp_path):
    """Each service has a limit of its own."""
    other = tmp_path / "traces" / "inference-1-1-1.jsonl"
    other.write_text(LINE * 200)
    _write(files, 200)
    assert other.read_text() == LINE * 200


PROGRAM = """
import sys
from pathlib import Path
from servicekit.tracefiles import TraceFiles
with TraceFiles(Path(sys.argv[1]), service="gateway", max_bytes=10**9) as stream:
    for number in range(500):
        stream.write(f"{sys.argv[2]}{number:0>400}\\n")
        stream.flush()
"""


def test_two_processes_never_mix_their_lines(tmp_path):
    """Two processes of one service write files of their own, and nothing is lost."""
    children = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, tmp_path, letter]) for letter in "ab"
    ]
    assert [child.wait(60) for child in children] == [0, 0]
    contents = [path.read_text().splitlines() for path in tmp_path.glob("*.jsonl")]
    assert sorted((len(lines), "".join({line[0] for line in lines})) for lines in contents) == [
        (500, "a"),
        (500, "b"),
    ]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    """Start-up finds out that spans would be lost."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        TraceFiles(tmp_path / "file" / "traces", service="gateway", max_bytes=LIMIT)
