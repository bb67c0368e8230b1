"""`vedette models pull` as a process, over a stand-in for the service."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("code", [0, 1])
def test_the_service_does_the_work_and_its_result_is_the_commands(tmp_path, code):
    """Further arguments are passed on, and so is the exit code."""
    package = tmp_path / "inference"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        f"import sys; print('pulled', sys.argv[1:]); sys.exit({code})"
    )
    result = subprocess.run(
        [sys.executable, "-m", "vedette", "models", "pull", "--force", "name"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (result.returncode, result.stdout.strip()) == (
        code,
        "pulled ['pull', '--force', 'name']",
    )
