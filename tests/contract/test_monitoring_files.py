"""Dashboards and alerts speak of metrics that exist, and every alert has its paragraph.

That the services expose these metrics is shown by tests/e2e/test_every_outcome.py.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from servicekit import instruments
from vedette.gateway.v1 import gateway_pb2
from vedette.gateway.v1.gateway_pb2 import FinishReason
from vedette.guardrails.v1.guardrails_pb2 import ExecutionState
from vedette.services import SERVICES

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


# What a label can say, where its instrument's own words do not list it.
VALUES = {
    "vedette_error_reason": set(
        re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE)
    ),
    "vedette_finish_reason": {
        name.removeprefix("FINISH_REASON_").lower()
        for name in FinishReason.keys()  # noqa: SIM118  # no dict
    },
    "vedette_guard_state": {
        name.removeprefix("EXECUTION_STATE_").lower()
        for name in ExecutionState.keys()  # noqa: SIM118  # no dict
    },
    "rpc_method": {
        f"{service.full_name}/{method.name}"
        for service in gateway_pb2.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    },
    "job": {f"vedette-{service.name}" for service in SERVICES},
}


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS, ids=[t for t, _ in EXPRESSIONS])
def test_every_value_of_a_label_can_occur(title, expression):
    """A condition that nothing can meet would be an empty panel as well."""
    said = {word for metric in _metrics(expression) - _OWN for word in _words(KNOWN[metric])}
    for label, values in re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]+)"', expression):
        possible = VALUES.get(label, said)
        for value in values.split("|"):
            assert [name for name in possible if re.fullmatch(value, name)] != []


def _words(instrument):
    return re.findall(r"\w+", instrument.says)


def test_prometheus_scrapes_where_the_services_answer():
    """The scrape configuration and compose.yaml name the same addresses."""
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yaml").read_text())
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    for service in SERVICES:
        address = compose[service.name]["environment"][service.variable("METRICS_ADDRESS")]
        [job] = [j for j in scraped["scrape_configs"] if j["job_name"] == f"vedette-{service.name}"]
        targets = [target for config in job["static_configs"] for target in config["targets"]]
        assert targets == [f"{service.name}:{address.rpartition(':')[2]}"]


def test_the_collector_takes_what_compose_sends():
    """Spans go to the port on which it listens, through a pipeline whose parts are declared."""
    collector = yaml.safe_load((ROOT / "deploy/compose/collector.yaml").read_text())
    port = collector["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"].rpartition(":")[2]
    assert f"COLLECTOR_ENDPOINT=http://collector:{port}" in (ROOT / "compose.yaml").read_text()
    for pipeline in collector["service"]["pipelines"].values():
        for kind, parts in pipeline.items():
            assert set(parts) <= collector[kind].keys()


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
