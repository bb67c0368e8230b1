"""The same prompt under another policy: by the guard's own command, in a process of its own."""

from __future__ import annotations

import hashlib

import pytest
import typer

from vedette.cli.replay import is_text_of, judged
from vedette.gateway.v1 import gateway_pb2 as pb

TEXT = "Write to jo@example.com, Jürgen."
POLICY = """
version: 1
input:
  detectors:
    pii: {action: block}
output: {}
"""


def test_a_policy_file_judges_the_text(tmp_path):
    """Action, findings by place and rule, and what became of each detector."""
    path = tmp_path / "harsh.yaml"
    path.write_text(POLICY)
    found = judged(TEXT, str(path))
    assert "block" == found["action"]
    assert [("EMAIL", 9, 23, "block")] == [
        (each["category"], each["start"], each["end"], each["action"]) for each in found["findings"]
    ]
    assert "ran" in {each["state"] for each in found["executions"]}


@pytest.mark.parametrize("policy", ["missing.yaml", "no-such-policy"])
def test_a_policy_that_is_not_there_ends_the_command(policy, tmp_path, monkeypatch):
    """With a sentence, not a trace of the program."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(typer.Exit):
        judged(TEXT, policy)


@pytest.mark.parametrize(("text", "same"), [(TEXT, True), (TEXT + " ", False), ("", False)])
def test_the_record_tells_whether_it_is_the_same_text(text, same):
    """Its hash is over role, length and text of each message."""
    data = TEXT.encode()
    digest = hashlib.sha256(f"2:{len(data)}:".encode() + data).hexdigest()
    assert same == is_text_of(pb.Decision(prompt_sha256=digest), text)
