"""The commands reach services behind TLS, and those that want a certificate."""

from __future__ import annotations

import json
from concurrent import futures

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from typer.testing import CliRunner

from tests.integration.gateway.certificates import Authority
from vedette.cli import app
from vedette.gateway.v1 import gateway_pb2 as pb
from vedette.gateway.v1 import gateway_pb2_grpc as stubs
from vedette.services import GATEWAY


class Books(stubs.GatewayServiceServicer):
    def GetUsage(self, request, context):
        return pb.GetUsageResponse()


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Runs a command against a gateway that wants a certificate of the same authority."""
    authority = Authority("ours")
    certificate, key = authority.issue("localhost")
    server = grpc.server(futures.ThreadPoolExecutor(2))
    stubs.add_GatewayServiceServicer_to_server(Books(), server)
    healthy = health.HealthServicer()
    healthy.set(GATEWAY.grpc_name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    credentials = grpc.ssl_server_credentials(
        [(key, certificate)], root_certificates=authority.pem, require_client_auth=True
    )
    port = server.add_secure_port("localhost:0", credentials)
    server.start()
    contents = {"ca": authority.pem, "cert": certificate, "key": key, "empty": b""}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)

    monkeypatch.setenv("VEDETTE_TARGET", f"localhost:{port}")
    monkeypatch.setenv(GATEWAY.variable("HOST"), "localhost")
    monkeypatch.setenv(GATEWAY.variable("PORT"), str(port))

    def run(*words, options):
        files = [str(tmp_path / o) if not o.startswith("-") else o for o in options]
        return CliRunner().invoke(app, [*words, *files])

    yield run
    server.stop(0).wait()


@pytest.fixture
def usage(command):
    """`vedette usage` of that gateway."""
    return lambda *options: command("usage", options=options)


@pytest.mark.parametrize(
    ("options", "exit_code", "status"),
    [
        (("--ca-file", "ca", "--cert-file", "cert", "--cert-key-file", "key"), 0, "SERVING"),
        (("--ca-file", "ca"), 1, "UNAVAILABLE"),
        ((), 1, "UNAVAILABLE"),
    ],
    ids=["certificate", "no certificate", "plain text"],
)
def test_health_is_asked_over_tls(command, options, exit_code, status):
    """Of the services that are named, as everybody who has a certificate may ask."""
    result = command("health", "--service", "gateway", "--json", options=options)
    assert (exit_code, {"gateway": status}) == (result.exit_code, json.loads(result.stdout))


def test_health_knows_its_services(command):
    """Another name is used wrongly, and the message has the right ones."""
    result = command("health", "--service", "gatway", options=())
    assert 2 == result.exit_code
    assert "guardrails, inference, gateway" in result.stderr


def test_with_authority_and_certificate_it_is_answered(usage):
    """Both ends know each other."""
    result = usage("--ca-file", "ca", "--cert-file", "cert", "--cert-key-file", "key")
    assert (0, "Nothing was consumed on these days.\n") == (result.exit_code, result.stderr)


@pytest.mark.parametrize(
    ("options", "exit_code"),
    [
        pytest.param((), 3, id="plain text"),
        pytest.param(("--ca-file", "ca"), 3, id="no certificate"),
        pytest.param(("--ca-file", "ca", "--cert-file", "cert"), 2, id="no key"),
        pytest.param(("--cert-file", "cert", "--cert-key-file", "key"), 2, id="no authority"),
        pytest.param(("--ca-file", "missing"), 2, id="missing file"),
        pytest.param(("--ca-file", "empty"), 2, id="empty file"),
    ],
)
def test_without_it_is_not(options, exit_code, usage):
    """The command says what is wrong, and shows no traceback."""
    result = usage(*options)
    assert exit_code == result.exit_code
    assert result.stderr.startswith("error: ")


@pytest.mark.parametrize("verb", [("ask", "Hi"), ("health",), ("review", "ls")], ids=" ".join)
def test_a_file_that_holds_no_certificate_is_named(verb, tmp_path):
    """Before anything is sent, and not as an address at which nothing answers."""
    file = tmp_path / "ca.pem"
    file.write_text("not a certificate\n")
    result = CliRunner().invoke(app, [*verb, "--ca-file", str(file)])
    assert (result.exit_code, f"{file} holds no certificate" in result.stderr) == (2, True)
