"""Candidate policies beside active ones: compared, counted, and without any effect."""

from __future__ import annotations

import asyncio
import json

import pytest
from typer.testing import CliRunner

from guardrails.detectors import builtin
from guardrails.findings import Action, Direction, Role
from guardrails.pipeline.checking import Checker
from guardrails.pipeline.shadow import Shadows, Tally, TallyFiles
from guardrails.pipeline.shadow.tally import Opinion, Pair
from guardrails.policy import PolicyError, PolicyStore
from guardrails.window.surroundings import Surroundings, Text
from servicekit import logs
from vedette.cli import app
from vedette.guardrails.v1 import guardrails_pb2 as pb

ACTIVE = """
version: 1
input: {detectors: {pii: {action: mask}}}
output: {detectors: {pii: {action: mask}}}
"""
CANDIDATE = """
version: 1
shadow_of: mine
input: {detectors: {pii: {action: pseudonymize, categories: {EMAIL: block}}}}
output: {detectors: {pii: {action: mask}, secrets: {action: block}}}
"""
MAIL = "Mail jo@example.com now"
PHONE = "Call +49 30 901820 now"


@pytest.fixture
def store(tmp_path):
    """The two policies above."""
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "mine.yaml").write_text(ACTIVE)
    (folder / "next.yaml").write_text(CANDIDATE)
    return PolicyStore(
        folder=folder, default_name="mine", detectors={each.name: each for each in builtin()}
    )


class Rests:
    """Rests at once, and remembers for how long it was to be; nothing to do is a rest for good."""

    def __init__(self):
        self.seconds = []
        self.idle = asyncio.Event()

    async def __call__(self, seconds):
        if seconds >= 1:
            self.idle.set()
            await asyncio.Event().wait()
        self.seconds.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def rests():
    return Rests()


@pytest.fixture
def shadows(store, tmp_path, rests):
    """The runner; its clock never moves, so that it writes only when it closes."""
    return Shadows(
        Checker(),
        store.shadows_of,
        files=TallyFiles(tmp_path / "shadow"),
        log=logs.get(),
        now=lambda: 0.0,
        sleep=rests,
    )


async def judge(store, shadows, text, direction=Direction.INPUT, request_id=""):
    """Check a text under the active policy, and tell the runner."""
    surroundings = Surroundings(tenant="a", conversation_id="c", request_id=request_id)
    checked = await Checker().check(
        store.default,
        Text(role=Role.USER, text=text),
        direction=direction,
        surroundings=surroundings,
    )
    shadows.note(
        text,
        checked.action,
        checked.findings,
        policy=store.default,
        direction=direction,
        role=Role.USER,
        surroundings=surroundings,
    )
    return checked


@pytest.fixture
def report(shadows, rests, tmp_path):
    """What lies in the one file after everything was compared."""

    async def read():
        await rests.idle.wait()
        await shadows.close()
        [path] = (tmp_path / "shadow").glob("*.json")
        return json.loads(path.read_text())

    return read


async def test_disagreements_are_counted_by_direction_category_and_action(store, shadows, report):
    """What the two do alike is counted as compared, and nothing more is said of it."""
    for text in (MAIL, MAIL, PHONE, "Good morning."):
        await judge(store, shadows, text, request_id="req-1")
    await judge(store, shadows, MAIL, Direction.OUTPUT)
    tally = await report()
    assert {"input": 4, "output": 1} == tally["compared"]
    assert (3, 0, 0) == (tally["disagreed"], tally["dropped"], tally["failed"])
    rows = {
        (row["direction"], row["category"], row["active"], row["candidate"]): row["count"]
        for row in tally["rows"]
    }
    assert {
        ("input", "*", "redact", "block"): 2,
        ("input", "EMAIL", "mask", "block"): 2,
        ("input", "PHONE", "mask", "pseudonymize"): 1,
    } == rows
    assert ("mine", "next") == (tally["active"], tally["candidate"])
    assert store.get("next").digest == tally["candidate_digest"]


async def test_examples_are_named_and_few_and_never_shown(store, shadows, report):
    """Five by hash and request; no text, no value, no tenant."""
    for number in range(9):
        await judge(store, shadows, f"{MAIL} {number}", request_id=f"req-{number}")
    tally = await report()
    examples = tally["rows"][0]["examples"]
    assert [f"req-{number}" for number in range(5)] == [each["request_id"] for each in examples]
    assert {64} == {len(each["text_sha256"]) for each in examples}
    assert "jo@example.com" not in json.dumps(tally)


async def test_more_than_it_can_hold_is_dropped_and_counted(store, shadows, report):
    """A burst of two hundred: so many wait, the rest is not compared, and nobody waited."""
    checked = await judge(store, shadows, "Good morning.")
    surroundings = Surroundings()
    for _ in range(200):
        shadows.note(
            "Good morning.",
            checked.action,
            checked.findings,
            policy=store.default,
            direction=Direction.INPUT,
            role=Role.USER,
            surroundings=surroundings,
        )
    tally = await report()
    assert 201 == tally["compared"]["input"] + tally["dropped"]
    assert 64 == tally["compared"]["input"]


async def test_a_long_text_is_read_in_pieces_with_rests(store, shadows, report, rests):
    """Twenty thousand characters never hold the loop: after each thousand the runner rests."""
    await judge(store, shadows, "Good morning. " * 1_500)
    tally = await report()
    assert 21 == len(rests.seconds)
    assert 1 == tally["compared"]["input"]


async def test_a_candidate_that_cannot_judge_says_so(store, shadows, report, tmp_path):
    """Without its classifier the candidate's block is marked as not fully judged."""
    (tmp_path / "policies" / "next.yaml").write_text(
        "version: 1\nshadow_of: mine\ninput: {detectors: {attacks: {action: block}}}\noutput: {}\n"
    )
    assert store.refresh().refusal is None
    await judge(store, shadows, "Good morning.")
    tally = await report()
    assert (1, 1) == (tally["failed"], tally["disagreed"])


async def test_a_shadow_acts_on_nothing(serve, tmp_path, store):
    """The answer is the active policy's; what the candidate thinks lands in a file and the log."""
    folder = tmp_path / "shadow"
    settings = {"policies_dir": tmp_path / "policies", "default_policy": "mine"}
    async with serve(**settings, shadow_dir=folder) as guard:
        request = pb.CheckTextRequest(
            direction=pb.DIRECTION_INPUT,
            segments=[pb.Segment(role=pb.ROLE_USER, text=MAIL)],
            conversation_id="c",
            request_id="req-1",
        )
        answer = await guard.CheckText(request)
        listed = await guard.ListPolicies(pb.ListPoliciesRequest())
        while not list(folder.glob("*.json")):  # noqa: ASYNC110 - written in the background
            await asyncio.sleep(0)
        hidden = pb.RestoreTextRequest(text="[EMAIL]", conversation_id="c")
        assert 0 == (await guard.RestoreText(hidden)).restored
    assert pb.ACTION_REDACT == answer.action
    assert "Mail [EMAIL] now" == answer.segments[0].text
    assert {"next": "mine"} == {
        policy.name: policy.shadow_of for policy in listed.policies if policy.shadow_of
    }

    shown = CliRunner().invoke(app, ["shadow", "--dir", str(folder)])
    assert 0 == shown.exit_code
    assert "1 text compared (1 input, 0 output), 1 otherwise (100.0 %)" in shown.output
    assert "req-1" in shown.output
    as_json = CliRunner().invoke(app, ["shadow", "next", "--dir", str(folder), "--json"])
    [told] = json.loads(as_json.output)
    assert ["*", "EMAIL"] == [row["category"] for row in told["rows"]]
    none = CliRunner().invoke(app, ["shadow", "other", "--dir", str(folder), "--json"])
    assert [] == json.loads(none.output)


async def test_a_stream_is_compared_when_it_ends(serve, tmp_path, store):
    """One that its sender gives up on before the first word is not."""
    folder = tmp_path / "shadow"
    settings = {"policies_dir": tmp_path / "policies", "default_policy": "mine"}
    config = pb.StreamCheckTextConfig(direction=pb.DIRECTION_OUTPUT, role=pb.ROLE_ASSISTANT)
    async with serve(**settings, shadow_dir=folder) as guard:
        left = guard.StreamCheckText()
        await left.write(pb.StreamCheckTextRequest(config=config))
        await left.read()
        left.cancel()
        requests = [pb.StreamCheckTextRequest(config=config)]
        requests += [pb.StreamCheckTextRequest(text=letter) for letter in MAIL]
        assert 3 <= len([event async for event in guard.StreamCheckText(iter(requests))])
        while not list(folder.glob("*.json")):  # noqa: ASYNC110 - written in the background
            await asyncio.sleep(0)
    [path] = folder.glob("*.json")
    tally = json.loads(path.read_text())
    assert ({"input": 0, "output": 1}, 0) == (tally["compared"], tally["disagreed"])


@pytest.mark.parametrize("name", ["mine", "nothing"])
def test_a_shadow_of_nothing_or_of_itself_is_a_mistake(store, tmp_path, name):
    """The message says which policies there are."""
    (tmp_path / "policies" / "mine.yaml").write_text(ACTIVE + f"shadow_of: {name}\n")
    refusal = store.refresh().refusal
    assert isinstance(refusal, PolicyError)
    assert "mine.yaml: shadow_of: must name another policy: default, next, strict" in str(refusal)


def test_tallies_of_several_processes_add_up(tmp_path, store):
    """Replicas write a file each; the command shows one report."""
    for _ in range(2):
        tally = _tally(store)
        TallyFiles(tmp_path).write(tally, now_s=9.0)
    (tmp_path / "broken.json").write_text("{")
    shown = CliRunner().invoke(app, ["shadow", "--dir", str(tmp_path), "--json"])
    [told] = json.loads(shown.output)
    assert ({"input": 2, "output": 0}, 2) == (told["compared"], told["disagreed"])
    assert [2] == [row["count"] for row in told["rows"]]


def _tally(store):
    active, candidate = store.default, store.get("next")
    tally = Tally(
        pair=Pair(
            active=active.name,
            active_digest=active.digest,
            candidate=candidate.name,
            candidate_digest=candidate.digest,
        ),
        since_s=1.0,
    )
    opinions = [Opinion.of(action, ()) for action in (Action.ALLOW, Action.BLOCK)]
    tally.add(Direction.INPUT, *opinions, text_sha256="0" * 64, request_id="")
    return tally
