"""The documents tell the truth about the tree."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main
from google.protobuf import descriptor_pool

from vedette.cli import app
from vedette.gateway.v1 import gateway_pb2
from vedette.guardrails.v1 import guardrails_pb2
from vedette.inference.v1 import inference_pb2

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))
)
FILES = (gateway_pb2, guardrails_pb2, inference_pb2)
RPCS = [
    method.full_name
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


def _commands():
    """The first words of each line in the README's shell blocks."""
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield words


@pytest.mark.parametrize("words", list(_commands()), ids=" ".join)
def test_commands_exist(words):
    """Each command of the README is a script of the checkout or a verb of `vedette`."""
    if words[0].endswith("vedette"):
        group = typer.main.get_command(app)
        for word in words[1:]:
            if word.startswith("-") or not hasattr(group, "commands"):
                break
            assert word in group.commands
            group = group.commands[word]
    elif "/" in words[0]:
        assert (ROOT / words[0]).exists() or words[0].startswith(".venv/bin/")
    else:
        assert words[0] in {"bash", "cd", "docker", "git", "pip"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    """Each relative link of a document names a file of the checkout."""
    folder = (ROOT / document).parent
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / document).read_text())
    assert [link for link in links if not (folder / link).exists()] == []


def test_the_status_table_lists_the_contract():
    """Every call of every service, in the order of the contract, and no other."""
    rows = re.findall(r"^\| `(\w+Service)` \| (.+) \|$", README, re.MULTILINE)
    listed = [f"{service}.{call}" for service, calls in rows for call in re.findall(r"\w+", calls)]
    assert [".".join(rpc.rsplit(".", 2)[1:]) for rpc in RPCS] == listed


def test_the_messages_in_the_examples_exist():
    """Types that the README names by their full name are part of the contract."""
    pool = descriptor_pool.Default()
    names = set(re.findall(r"vedette\.\w+\.v1\.\w+", README))
    for name in names:
        assert pool.FindFileContainingSymbol(name)
