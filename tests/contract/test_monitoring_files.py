"""Dashboards and alerts speak of metrics that exist, and every alert has its paragraph.

That the services expose these metrics is shown by tests/e2e/test_metrics.py.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from servicekit import instruments

ROOT = Path(__file__).parents[2]
ALERTS = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
PANELS = [
    (f"{path.stem}: {panel['title']}", target["expr"])
    for path in DASHBOARDS
    for panel in json.loads(path.read_text())["panels"]
    for target in panel.get("targets", ())
]
EXPRESSIONS = [(rule["alert"], rule["expr"]) for rule in RULES] + PANELS

_METRIC = re.compile(r"\b(?:rpc|gen_ai|vedette|up)\w*(?=[{\[)\s]|$)")
_SUFFIX = re.compile(r"_(bucket|count|sum|total)$")
_LABELS = re.compile(r"\b(?:by|on|without|group_left) \(([^)]*)\)|\{([^}]*)\}")
# What Prometheus itself adds.
_OWN = {"up", "job", "le"}


def _without_labels(expression):
    return _LABELS.sub(" ", expression)


def _metrics(expression):
    """The metrics in an expression, without the suffix that says how they are stored."""
    return {_SUFFIX.sub("", name) for name in _METRIC.findall(_without_labels(expression))}


def _labels(expression):
    groups = _LABELS.findall(expression)
    names = [name.strip() for by, _ in groups for name in by.split(",") if name.strip()]
    return set(names) | {n for _, where in groups for n in re.findall(r"(\w+)\s*[=!]", where)}


def _known(instrument):
    """As the exporter writes the name: dots become underscores, the unit is appended."""
    unit = "_seconds" if instrument.unit == "s" else ""
    return instrument.name.replace(".", "_") + unit


KNOWN = {_known(instrument): instrument for instrument in instruments.CATALOGUE}


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS, ids=[t for t, _ in EXPRESSIONS])
def test_every_metric_and_label_exists(title, expression):
    """A misspelt name would be an empty panel, or an alert that never fires."""
    metrics = _metrics(expression) - _OWN
    assert metrics - KNOWN.keys() == set()
    labels = {
        label.replace(".", "_") for metric in metrics for label in KNOWN[metric].labels
    } | _OWN
    assert _labels(expression) - labels == set()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_has_its_paragraph(rule):
    """The runbook is a heading of its own with something below it."""
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    text = (ROOT / page).read_text()
    headings = {
        heading.lower(): body.strip()
        for heading, body in re.findall(r"^#+ (\w+)\n((?:(?!#).*\n?)*)", text, re.MULTILINE)
    }
    assert anchor == rule["alert"].lower()
    assert len(headings.get(anchor, "")) > 100


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_says_how_bad_it_is(rule):
    """Wake somebody, or leave it until the morning; and how long to wait before either."""
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["for"]
    assert rule["annotations"]["summary"].endswith(".")


def test_every_instrument_is_on_a_dashboard():
    """What is worth recording is worth looking at."""
    shown = {metric for _, expression in PANELS for metric in _metrics(expression)}
    assert KNOWN.keys() - shown == set()
