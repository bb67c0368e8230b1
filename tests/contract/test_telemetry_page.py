"""docs/telemetry.md names what the services record."""

from __future__ import annotations

from pathlib import Path

import pytest

from servicekit import instruments, names
from vedette.traces import names as read_names

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "telemetry.md").read_text()


@pytest.mark.parametrize("instrument", instruments.CATALOGUE, ids=lambda one: one.name)
def test_every_metric_has_its_row(instrument):
    """Name, unit, labels and meaning, as the catalogue has them."""
    labels = ", ".join(f"`{label}`" for label in instrument.labels) or "-"
    unit = instrument.unit.strip("{}")
    assert f"| `{instrument.name}` | {unit} | {labels} | {instrument.says} |" in PAGE


@pytest.mark.parametrize("name", [n for n in vars(names) if n.startswith(("STEP_", "SPAN_"))])
def test_every_span_is_explained(name):
    """Each step and phase is in the table."""
    value = getattr(names, name).partition(" {")[0]
    assert f"`{value}" in PAGE


def test_what_is_read_is_what_is_written():
    """The reader of traces knows names that the services write, and no others."""
    written = {value for name, value in vars(names).items() if name.isupper()}
    read = {value for name, value in vars(read_names).items() if name.isupper()}
    assert set() == {value for value in read if isinstance(value, str)} - written
