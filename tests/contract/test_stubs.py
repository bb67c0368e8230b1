"""The committed stubs are what the protos say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICES = ("gateway", "guardrails", "inference")


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """A folder with freshly generated stubs."""
    folder = tmp_path_factory.mktemp("stubs")
    subprocess.run(
        [ROOT / "scripts" / "protos", folder],
        env={"PATH": "/usr/bin:/bin", "VEDETTE_VENV": sys.prefix},
        check=True,
    )
    return folder


def _contents(folder):
    return {
        path.name: path.read_text()
        for path in (*folder.glob("*.py"), *folder.glob("*.pyi"))
        if path.name != "__init__.py"
    }


@pytest.mark.parametrize("service", SERVICES)
def test_stubs_are_fresh(service, generated):
    """Generating again changes nothing; where this fails, run scripts/protos."""
    part = Path("vedette", service, "v1")
    assert _contents(ROOT / part) == _contents(generated / part)


def test_every_service_has_stubs():
    """There is a proto for each service and no other."""
    protos = {path.parts[-3] for path in (ROOT / "protos").glob("vedette/*/v1/*.proto")}
    assert protos == set(SERVICES)
