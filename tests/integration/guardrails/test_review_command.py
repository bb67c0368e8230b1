"""`vedette review` against a real service, as a person uses it."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager

import pytest

from guardrails.app import GuardrailsApp
from guardrails.settings import GuardrailsSettings
from guardrails.training.samples import read_samples
from guardrails.training.sources import FileSource, read
from servicekit.process import Process
from tests.integration.gateway.certificates import Authority
from vedette.guardrails.v1 import guardrails_pb2 as pb

POLICY = """
version: 1
input:
  detectors:
    pii: {action: allow, categories: {EMAIL: review, IP_ADDRESS: hold}}
output: {}
reviews: {keep_text: true}
"""
MAIL = "Mail jo@example.com, Jürgen."
HOST = "The host is 192.168.10.17, I think."
# What held it is the last that was scanned.
HELD = "The host is 192.168.10.17"


@pytest.fixture
def desk(serve, tmp_path):
    """A service with two cases of the tenant `local`, their names, and the command."""
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "mine.yaml").write_text(POLICY)

    @asynccontextmanager
    async def run(policy=POLICY):
        (folder / "mine.yaml").write_text(policy)
        socket = tmp_path / "guard.sock"
        async with serve(policies_dir=folder, default_policy="mine", socket=socket) as guard:
            named = []
            for text in (MAIL, HOST):
                segments = [pb.Segment(role=pb.ROLE_USER, text=text)]
                request = pb.CheckTextRequest(
                    direction=pb.DIRECTION_INPUT, segments=segments, tenant="local"
                )
                named.append((await guard.CheckText(request)).segments[0].review_id)

            async def review(*arguments):
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "vedette", "review", *map(str, arguments)),
                    *("--target", f"unix:{socket}"),
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                )
                out, err = await process.communicate()
                return process.returncode, out.decode(), err.decode()

            yield named, review

    return run


async def test_cases_are_listed_shown_decided_and_exported(desk, tmp_path):
    """From the first look to a file that the training's own reader reads."""
    async with desk() as ((mail, host), review):
        code, out, _ = await review("ls", "--json")
        assert (0, [mail, host]) == (code, [case["review_id"] for case in json.loads(out)])

        code, out, _ = await review("show", host)
        assert 0 == code
        assert "finding IP_ADDRESS at 12 to 25: hold" in out
        assert HELD in out

        assert 0 == (await review("resolve", mail, "accept", "--by", "ann"))[0]
        assert 0 == (await review("resolve", host, "reject", "--by", "ann"))[0]
        code, _, err = await review("resolve", host, "accept", "--by", "bob")
        assert 3 == code
        assert "REVIEW_DECIDED" in err

        code, out, err = await review("ls")
        assert (0, "") == (code, out)
        code, out, _ = await review("ls", "--state", "rejected")
        assert host in out
        assert mail not in out

        folder = tmp_path / "rows"
        folder.mkdir()
        code, _, err = await review("export", folder / "reviews.jsonl")
        assert (0, "2 texts written; 0 decided without their text.") == (code, err.strip())
        assert 2 == (await review("export", folder / "reviews.jsonl"))[0]

    samples = list(read_samples(folder))
    assert [(MAIL, 0), (HELD, 1)] == [(sample.text, sample.label) for sample in samples]
    source = FileSource(
        name="reviews",
        licence="own",
        family="review",
        labels=lambda meta, label: dict.fromkeys(meta["categories"], float(label)),
    )
    rows = list(read(folder, source))
    assert [{"EMAIL": 0.0}, {"IP_ADDRESS": 1.0}] == [row.labels for row in rows]


async def test_without_kept_text_there_is_nothing_to_train_on(desk, tmp_path):
    """A decision can be made by what was found alone; it exports as nothing, and says so."""
    async with desk(POLICY.replace("keep_text: true", "keep_text: false")) as ((mail, _), review):
        _, out, _ = await review("show", mail)
        assert "the policy keeps no text" in out
        assert "jo@example.com" not in out
        await review("resolve", mail, "reject", "--by", "ann")
        code, _, err = await review("export", tmp_path / "none.jsonl")
    assert (0, "0 texts written; 1 decided without their text.") == (code, err.strip())
    assert "" == (tmp_path / "none.jsonl").read_text()


async def test_another_tenant_has_no_cases(desk):
    """Law 8 from the command line."""
    async with desk() as ((mail, _), review):
        assert (0, "") == (await review("ls", "--tenant", "other"))[:2]
        code, _, err = await review("show", mail, "--tenant", "other")
    assert 1 == code
    assert f"other has no case {mail}" in err


async def test_only_reviewers_get_in_where_the_service_asks_for_certificates(tmp_path):
    """Over TLS, with a reviewer's certificate and with somebody else's."""
    authority = Authority("ours.example")
    names = {
        "server": "localhost",
        "reviewer": "moderation.example.org",
        "other": "app.example.org",
    }
    for name, san in names.items():
        (tmp_path / name).mkdir()
        authority.install(tmp_path / name, san)
    settings = GuardrailsSettings(
        port=0,
        drain_s=0,
        trace_dir=None,
        tls_cert=tmp_path / "server" / "cert.pem",
        tls_key=tmp_path / "server" / "key.pem",
        tls_client_ca=tmp_path / "server" / "ca.pem",
        reviewers=("moderation.example.org",),
    )
    process = Process("guardrails", settings, GuardrailsApp)
    await process.start()
    answers = {}
    for name in ("reviewer", "other"):
        folder = tmp_path / name
        files = {"--ca-file": "ca.pem", "--cert-file": "cert.pem", "--cert-key-file": "key.pem"}
        arguments = [word for flag, file in files.items() for word in (flag, folder / file)]
        target = f"localhost:{process.port}"
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "vedette", "review", "ls", "--target", target, *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await command.communicate()
        answers[name] = (command.returncode, err.decode())
    await process.stop()
    assert 0 == answers["reviewer"][0]
    assert 3 == answers["other"][0]
    assert "NOT_A_REVIEWER" in answers["other"][1]
