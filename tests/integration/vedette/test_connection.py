"""The commands reach a gateway behind TLS, and one that wants a certificate."""

from __future__ import annotations

from concurrent import futures

import grpc
import pytest
from typer.testing import CliRunner

from tests.integration.gateway.certificates import Authority
from vedette.cli import app
from vedette.gateway.v1 import gateway_pb2 as pb
from vedette.gateway.v1 import gateway_pb2_grpc as stubs


class Books(stubs.GatewayServiceServicer):
    def GetUsage(self, request, context):
        return pb.GetUsageResponse()


@pytest.fixture
def usage(tmp_path):
    """Runs `vedette usage` against a gateway that wants a certificate of the same authority."""
    authority = Authority("ours")
    certificate, key = authority.issue("localhost")
    server = grpc.server(futures.ThreadPoolExecutor(2))
    stubs.add_GatewayServiceServicer_to_server(Books(), server)
    credentials = grpc.ssl_server_credentials(
        [(key, certificate)], root_certificates=authority.pem, require_client_auth=True
    )
    port = server.add_secure_port("localhost:0", credentials)
    server.start()
    contents = {"ca": authority.pem, "cert": certificate, "key": key, "empty": b""}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)

    def run(*options):
        target = ("--target", f"localhost:{port}")
        files = [str(tmp_path / o) if not o.startswith("-") else o for o in options]
        return CliRunner().invoke(app, ["usage", *target, *files])

    yield run
    server.stop(0).wait()


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
