"""`vedette ask` and `vedette health` against real servers."""

from __future__ import annotations

import json
from concurrent import futures
from contextlib import ExitStack

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from typer.testing import CliRunner

from servicekit.errors import NotFound
from vedette.cli import app
from vedette.gateway.v1 import gateway_pb2 as pb
from vedette.gateway.v1 import gateway_pb2_grpc as stubs
from vedette.services import SERVICES

FINDING = pb.Finding(
    detector="pii",
    category="EMAIL",
    span={"start": 3, "end": 9},
    score=0.5,
    action=pb.ACTION_REDACT,
    rule_id="pii.email",
    direction=pb.DIRECTION_OUTPUT,
)


class Scripted(stubs.GatewayServiceServicer):
    def __init__(self, *events):
        self.events = events

    def StreamGenerate(self, request, context):
        self.request = request
        self.metadata = dict(context.invocation_metadata())
        yield from self.events


@pytest.fixture
def server():
    """Starts servers on free ports; returns their addresses."""
    with ExitStack() as cleanup:

        def start(add, servicer):
            server = grpc.server(futures.ThreadPoolExecutor(2))
            add(servicer, server)
            port = server.add_insecure_port("127.0.0.1:0")
            server.start()
            cleanup.callback(lambda: server.stop(0).wait())
            return f"127.0.0.1:{port}"

        yield start


@pytest.fixture
def ask(server):
    """Asks a gateway that answers with these events."""

    def ask(servicer, *words, **kwargs):
        target = server(stubs.add_GatewayServiceServicer_to_server, servicer)
        return CliRunner().invoke(app, ["ask", *words, "--target", target], **kwargs)

    return ask


def delta(text):
    return pb.StreamGenerateResponse(delta={"text": text})


def final(attestation, reason=pb.FINISH_REASON_STOP):
    return pb.StreamGenerateResponse(
        final=pb.Final(
            finish_reason=reason,
            attestation=attestation,
            usage={"input_tokens": 3, "output_tokens": 2},
        )
    )


def test_the_answer_is_on_standard_output_and_the_rest_beside_it(ask, attest):
    """The text alone can be piped; findings, usage and the trace are for the reader."""
    events = [delta("Write "), delta("[EMAIL]."), pb.StreamGenerateResponse(finding=FINDING)]
    result = ask(Scripted(*events, final(attest("Write [EMAIL]."))), "Hi")
    assert (result.exit_code, result.stdout) == (0, "Write [EMAIL].\n")
    assert (
        "finding EMAIL in the answer at 3 to 9: redact (pii, pii.email, score 0.50)"
        in result.stderr
    )
    assert "stop; 3 tokens in, 2 out" in result.stderr
    assert "vedette trace show" in result.stderr


def test_a_question_can_be_piped_in_with_options(ask, attest):
    """`-` reads standard input; options become fields of the request."""
    servicer = Scripted(final(attest("")))
    words = ("-", "--system", "Be brief.", "--policy", "strict", "--max-new-tokens", "5")
    result = ask(servicer, *words, input="Why?\n")
    assert result.exit_code == 0
    assert servicer.request == pb.StreamGenerateRequest(
        messages=[
            pb.Message(role=pb.ROLE_SYSTEM, text="Be brief."),
            pb.Message(role=pb.ROLE_USER, text="Why?\n"),
        ],
        policy="strict",
        sampling=pb.Sampling(max_new_tokens=5),
    )


def test_a_key_comes_from_a_file(ask, attest, tmp_path):
    """The key is sent, and stands in no argument that others could read."""
    servicer = Scripted(final(attest("")))
    key_file = tmp_path / "key"
    key_file.write_text("vd_secret\n")
    assert ask(servicer, "Hi", "--key-file", str(key_file)).exit_code == 0
    assert servicer.metadata["authorization"] == "Bearer vd_secret"
    assert ask(servicer, "Hi", "--key-file", str(tmp_path / "no")).exit_code == 2


def test_a_block_is_exit_code_1(ask, attest):
    """A script learns that a guard blocked."""
    result = ask(Scripted(final(attest(""), pb.FINISH_REASON_BLOCKED)), "Hi")
    assert (result.exit_code, result.stdout) == (1, "")


def test_json_is_one_object(ask, attest):
    """Text, findings and the fields of Final, for programs."""
    events = [delta("Hé"), pb.StreamGenerateResponse(finding=FINDING), final(attest("Hé"))]
    said = json.loads(ask(Scripted(*events), "Hi", "--json").stdout)
    assert (said["text"], said["finish_reason"], said["findings"][0]["category"]) == (
        "Hé",
        "FINISH_REASON_STOP",
        "EMAIL",
    )
    assert len(said["trace_id"]) == 32


def test_text_that_is_not_attested_ends_as_an_error(ask, attest):
    """A forged answer is not passed off as one."""
    result = ask(Scripted(delta("Hello"), final(attest("Bye"))), "Hi")
    assert (result.exit_code, "ATTESTATION_MISMATCH" in result.stderr) == (3, True)


def test_escape_sequences_in_an_answer_do_not_reach_the_terminal(ask, attest):
    """A model cannot write the reader's screen."""
    result = ask(Scripted(delta("\x1b[2Jgone"), final(attest("\x1b[2Jgone"))), "Hi")
    assert result.stdout == "\ufffd[2Jgone\n"


def test_nobody_there_is_one_sentence_with_a_remedy(free_port):
    """The address is named, and what to do."""
    result = CliRunner().invoke(app, ["ask", "Hi", "--target", f"127.0.0.1:{free_port}"])
    assert result.exit_code == 3
    assert f"Nothing answers at 127.0.0.1:{free_port}." in result.stderr
    assert "vedette up" in result.stderr


@pytest.mark.parametrize(
    ("option", "value"),
    [("--seed", str(2**63)), ("--max-new-tokens", "0"), ("--max-new-tokens", str(2**31))],
)
def test_a_number_that_the_contract_cannot_hold_is_refused_here(option, value):
    """The option is named, and what it takes."""
    result = CliRunner().invoke(app, ["ask", "Hi", option, value])
    assert result.exit_code == 2
    assert f"'{option}'" in result.stderr
    assert "is not from" in result.stderr


def test_an_answer_that_takes_too_long_says_how_to_wait_longer(ask):
    """What came stands on a line of its own, before the error."""

    class Slow(Scripted):
        def StreamGenerate(self, request, context):
            yield delta("Half an")
            context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")

    result = ask(Slow(), "Hi", "--deadline", "90")
    assert (result.exit_code, result.stdout) == (3, "Half an\n")
    assert "not complete within 90 s" in result.stderr
    assert "--deadline" in result.stderr


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [("MODEL_NOT_FOUND", "vedette models ls"), ("POLICY_NOT_FOUND", "vedette policies")],
)
def test_a_name_that_is_not_there_says_where_the_names_are(ask, reason, remedy):
    """The service speaks to programs; the command adds what to type."""

    class Failing(Scripted):
        def StreamGenerate(self, request, context):
            fault = NotFound(reason=reason)
            context.abort_with_status(rpc_status.to_status(fault.to_status()))

    result = ask(Failing(), "Hi")
    assert (result.exit_code, remedy in result.stderr) == (3, True)


def test_an_empty_question_is_refused_here():
    """Nothing is sent for nothing."""
    assert CliRunner().invoke(app, ["ask", "  "]).exit_code == 2


@pytest.fixture
def three(server, monkeypatch):
    """Three health servers under the services' names; `three(gateway="NOT_SERVING")`."""

    def start(**statuses):
        for service in SERVICES:
            servicer = health.HealthServicer()
            status = statuses.get(service.name, "SERVING")
            value = health_pb2.HealthCheckResponse.ServingStatus.Value(status)
            servicer.set(service.grpc_name, value)
            address = server(health_pb2_grpc.add_HealthServicer_to_server, servicer)
            monkeypatch.setenv(service.variable("PORT"), address.rpartition(":")[2])

    return start


def test_three_times_serving_is_healthy(three):
    """All three, each asked by its full name."""
    three()
    result = CliRunner().invoke(app, ["health"])
    assert (result.exit_code, result.stdout.count("SERVING")) == (0, 3)


def test_one_that_does_not_serve_is_exit_code_1(three):
    """Whichever it is, it is named with its status."""
    three(gateway="NOT_SERVING")
    result = CliRunner().invoke(app, ["health", "--json"])
    assert (result.exit_code, json.loads(result.stdout)) == (
        1,
        {"guardrails": "SERVING", "inference": "SERVING", "gateway": "NOT_SERVING"},
    )


def test_one_that_is_down_is_exit_code_1(three, monkeypatch, free_port):
    """Not reachable is not healthy."""
    three()
    monkeypatch.setenv("VEDETTE_INFERENCE_PORT", str(free_port))
    result = CliRunner().invoke(app, ["health", "--json"])
    assert (result.exit_code, json.loads(result.stdout)["inference"]) == (1, "UNAVAILABLE")


class Books(stubs.GatewayServiceServicer):
    def GetUsage(self, request, context):
        self.asked = request
        return pb.GetUsageResponse(
            rows=[
                pb.UsageRow(
                    date="2026-11-21",
                    model="m",
                    tenant="acme",
                    requests=7,
                    blocked_requests=2,
                    input_tokens=30,
                    output_tokens=40,
                    cost_micros=1500,
                    currency="EUR",
                ),
                pb.UsageRow(date="2026-11-21", model="none", tenant="acme", currency="XXX"),
            ],
            budgets=[pb.Budget(period="day", unit="tokens", limit=100, used=70, reserved=5)],
        )

    def GetDecision(self, request, context):
        if request.request_id != "req-1":
            context.abort(grpc.StatusCode.NOT_FOUND, "There is no such request.")
        return pb.GetDecisionResponse(
            decision=pb.Decision(
                request_id="req-1",
                tenant="acme",
                finish_reason=pb.FINISH_REASON_BLOCKED,
                findings=[FINDING],
                trace_id="ab" * 16,
                policy_digest="cd" * 32,
                steps=[
                    pb.DecisionStep(
                        name="guard_output",
                        offset={"nanos": 9_000_000},
                        duration={"nanos": 2_000_000},
                        outcome="blocked",
                    ),
                    pb.DecisionStep(name="verdict_cache", outcome="hit"),
                ],
                executions=[
                    pb.Execution(
                        detector="pii",
                        state=pb.EXECUTION_STATE_RAN,
                        score=0.5,
                        duration={"nanos": 1_000_000},
                        direction=pb.DIRECTION_OUTPUT,
                    )
                ],
                breakers=[
                    pb.Breaker(part="guardrails", state=pb.BREAKER_STATE_HALF_OPEN),
                    pb.Breaker(part="redis", state=pb.BREAKER_STATE_OPEN),
                ],
                degradations=[pb.Degradation(part="redis", mode="local_limits")],
            )
        )


@pytest.fixture
def books(server):
    target = server(stubs.add_GatewayServiceServicer_to_server, Books())
    return lambda *words: CliRunner().invoke(app, [*words, "--target", target])


def test_usage_is_a_line_a_day_and_model_and_the_budgets(books):
    """What was consumed, what it cost, and what is left."""
    result = books("usage", "--from", "2026-11-01")
    _, row, unpriced, budget = result.stdout.splitlines()
    assert (result.exit_code, row.split()) == (
        0,
        ["2026-11-21", "acme", "m", "7", "2", "30", "40", "0.001500", "EUR"],
    )
    assert ["2026-11-21", "acme", "none", "0", "0", "0", "0"] == unpriced.split()
    assert budget.startswith("tokens a day: 70 of 100 used, 5 reserved, until ")
    assert json.loads(books("usage", "--json").stdout)["rows"][0]["requests"] == "7"


def test_a_decision_is_explained_step_by_step(books):
    """How it ended and under what, the steps in order of time, and where its trace is.

    Below a check stand its detectors, below a detector what it found.
    """
    lines = [" ".join(line.split()) for line in books("decision", "req-1").stdout.splitlines()]
    assert lines == [
        "request req-1 of acme: blocked",
        "policy cdcdcdcdcdcd",
        "model none had answered",
        "caches verdicts hit",
        "breakers guardrails half-open, redis open",
        "reduced redis local_limits",
        "at took step verdict",
        "0.00 ms 0.00 ms verdict_cache hit",
        "9.0 ms 2.0 ms guard_output blocked",
        "1.0 ms pii ran, score 0.50",
        "EMAIL in the answer at 3 to 9: redact (pii.email, score 0.50)",
        f"its trace: vedette trace show {'ab' * 16}",
    ]


def test_a_decision_is_found_by_its_trace(books, span, write_traces, tmp_path):
    """Who has the trace need not look for the request's name; the last is the last request's."""
    asked = span("a", at=(0, 1), attributes={"vedette.request_id": "req-1"})
    write_traces([asked, span("b", at=(5, 6), trace_id="b" * 32)])
    assert "request req-1 of acme" in books("decision", "last", "--dir", str(tmp_path)).stdout


def test_a_trace_that_names_no_request_is_one_sentence(books, span, write_traces, tmp_path):
    """A call that was refused at once has no name."""
    write_traces([span("a", at=(0, 1))])
    result = books("decision", "aaaa", "--dir", str(tmp_path))
    assert (result.exit_code, "names no request" in result.stderr) == (1, True)


def test_an_unknown_request_is_one_sentence(books):
    """The service's refusal is the command's."""
    result = books("decision", "req-2")
    assert (result.exit_code, "There is no such request." in result.stderr) == (3, True)
