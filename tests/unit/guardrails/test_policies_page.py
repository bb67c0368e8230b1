"""The page about policies is true: its examples load, its tables are complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from guardrails.findings import Treatment
from guardrails.policy import PolicyDocument, PolicyStore
from guardrails.policy.document import DetectorEntry, Model, Reviews

PAGE = (Path(__file__).parents[3] / "docs" / "policies.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
_TITLES = [re.search(r"description: (.*)", example).group(1) for example in EXAMPLES]


def rows(title):
    """The first and the other cells of the first table under a heading."""
    [section] = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    lines = [line for line in section.splitlines() if line.startswith("| ")][1:]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {first: rest for first, *rest in cells}


@pytest.mark.parametrize("example", EXAMPLES, ids=_TITLES)
def test_an_example_is_a_policy(tmp_path, detectors, example):
    """Each can be copied into a file and is in force from then on."""
    (tmp_path / "mine.yaml").write_text(example)
    store = PolicyStore(folder=tmp_path, default_name="mine", detectors=detectors)
    assert store.default.description


def test_the_table_of_detectors_is_complete(detectors):
    """Every built-in detector is there with all of its categories."""
    table = rows("Detectors")
    for name, detector in detectors.items():
        listed = re.findall(r"`([A-Z_]+)`", table[f"`{name}`"][1])
        assert sorted(detector.categories) == listed


def test_the_table_of_actions_is_complete():
    """Every treatment is there and told as it is."""
    table = rows("Actions")
    assert {f"`{treatment.value}`" for treatment in Treatment} == set(table)
    for treatment in Treatment:
        assert f"`ACTION_{treatment.action.name}`" in table[f"`{treatment.value}`"][1]


@pytest.mark.parametrize("section", [PolicyDocument, DetectorEntry, Reviews, Model])
def test_every_key_is_listed(section):
    """Nothing can be written into a policy that the page does not explain."""
    keys = " ".join(rows("Every key"))
    assert set() == {name for name in section.model_fields if not re.search(rf"\b{name}\b", keys)}


def test_every_part_of_the_contents_is_there():
    """Each link at the head of the page leads to a heading."""
    headings = {
        re.sub(r"[^a-z -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    }
    links = set(re.findall(r"\]\(#([a-z-]+)\)", PAGE))
    assert links <= headings
    assert headings <= links | {"every-key"}
