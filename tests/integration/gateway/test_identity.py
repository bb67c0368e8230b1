"""Who may call, over every RPC."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import grpc
import jwt
import pytest
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.identity.keys import make
from gateway.settings import GatewaySettings
from servicekit.settings import SettingsError
from tests.integration.gateway.certificates import Authority
from tests.integration.gateway.conftest import running_stack
from vedette.errors import from_rpc_error
from vedette.gateway.v1 import gateway_pb2 as pb

if TYPE_CHECKING:
    from pathlib import Path

HI = [pb.Message(role=pb.ROLE_USER, text="hi")]
CALLS = {
    "Generate": pb.GenerateRequest(messages=HI),
    "StreamGenerate": pb.StreamGenerateRequest(messages=HI),
    "CountTokens": pb.CountTokensRequest(messages=HI),
    "GetUsage": pb.GetUsageRequest(),
    "GetDecision": pb.GetDecisionRequest(request_id="req-0"),
}
KEYS = {name: make(name) for name in ("good", "expired", "revoked", "reader", "strict", "stranger")}
ISSUER_KEY = rsa.generate_private_key(65537, 2048)
OTHER_KEY = rsa.generate_private_key(65537, 2048)


def _access_file(folder: Path) -> Path:
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(ISSUER_KEY.public_key()))
    jwks = folder / "jwks.json"
    jwks.write_text(json.dumps({"keys": [jwk | {"kid": "k1", "alg": "RS256", "use": "sig"}]}))
    entries = "".join(
        f'[[keys]]\nid = "{name}"\nsha256 = "{digest}"\ntenant = "acme"\n{more}\n'
        for (name, (_, digest)), more in zip(
            list(KEYS.items())[:5],
            (
                "",
                "expires = 2020-01-01T00:00:00Z",
                "revoked = true",
                'roles = ["reader"]',
                'roles = ["strict"]',
            ),
            strict=True,
        )
    )
    path = folder / "access.toml"
    path.write_text(
        f"""
        [roles.member]
        [roles.reader]
        rpcs = ["GetUsage"]
        [roles.strict]
        policies = ["strict"]
        models = ["small"]
        [tenants.acme]
        roles = ["member"]
        [[certificates]]
        name = "spiffe://acme/app"
        tenant = "acme"
        [tokens]
        issuer = "https://issuer.example"
        audience = "vedette"
        algorithms = ["RS256"]
        jwks = "{jwks}"
        revoked = ["stolen"]
        {entries}
        """
    )
    return path


def _claims(**changes):
    claims = {
        "iss": "https://issuer.example",
        "aud": "vedette",
        "exp": int(time.time()) + 3600,
        "tenant": "acme",
        "roles": ["member"],
    } | changes
    return {name: value for name, value in claims.items() if value is not None}


def _token(key=ISSUER_KEY, algorithm="RS256", kid="k1", **changes):
    return jwt.encode(_claims(**changes), key, algorithm=algorithm, headers={"kid": kid})


def _signed_with_the_public_key():
    """The classic confusion: an HMAC whose secret is the issuer's public key."""
    import base64
    import hashlib
    import hmac

    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    secret = ISSUER_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    body = part({"alg": "HS256", "typ": "JWT", "kid": "k1"}) + b"." + part(_claims())
    mac = base64.urlsafe_b64encode(hmac.new(secret, body, hashlib.sha256).digest()).rstrip(b"=")
    return (body + b"." + mac).decode()


def _bearer(credential):
    return (("authorization", f"Bearer {credential}"),)


REFUSED = {
    "no credential": (),
    "empty": (("authorization", ""),),
    "another scheme": (("authorization", "Basic Z29vZDpnb29k"),),
    "no scheme": (("authorization", KEYS["good"][0]),),
    "unknown key": _bearer(KEYS["stranger"][0]),
    "wrong secret": _bearer(KEYS["good"][0] + "x"),
    "another key's secret": _bearer("vdt.good." + KEYS["reader"][0].rsplit(".", 1)[1]),
    "expired key": _bearer(KEYS["expired"][0]),
    "revoked key": _bearer(KEYS["revoked"][0]),
    "not a token": _bearer("a.b.c"),
    "token without signature": _bearer(_token(None, "none")),
    "token with the public key as secret": _bearer(_signed_with_the_public_key()),
    "token of another key": _bearer(_token(OTHER_KEY)),
    "token of an unknown key": _bearer(_token(OTHER_KEY, kid="k2")),
    "expired token": _bearer(_token(exp=int(time.time()) - 60)),
    "token that never expires": _bearer(_token(exp=None)),
    "token for others": _bearer(_token(aud="elsewhere")),
    "token for nobody": _bearer(_token(aud=None)),
    "token of another issuer": _bearer(_token(iss="https://evil.example")),
    "revoked token": _bearer(_token(jti="stolen")),
    "token of an unknown tenant": _bearer(_token(tenant="rival")),
    "token without roles": _bearer(_token(roles=[])),
    "token with unknown roles": _bearer(_token(roles=["root"])),
}


async def _outcome(stack, rpc, metadata):
    call = getattr(stack.stub, rpc)(CALLS[rpc], timeout=60, metadata=metadata)
    try:
        if rpc == "StreamGenerate":
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error.code().name, from_rpc_error(error).reason
    return "OK", ""


async def test_credentials_that_are_not_good_open_nothing(monkeypatch, tmp_path) -> None:
    """Every RPC answers every bad credential alike, logs a cause, and never the credential."""
    outcomes = {}
    with structlog.testing.capture_logs() as log:
        async with running_stack(monkeypatch, access_file=_access_file(tmp_path)) as stack:
            for name, metadata in REFUSED.items():
                for rpc in CALLS:
                    outcomes[name, rpc] = await _outcome(stack, rpc, metadata)
            reached = [*stack.guard.checks, *stack.model.requests]

    refusal = ("UNAUTHENTICATED", "UNAUTHENTICATED")
    assert {(name, rpc): refusal for name in REFUSED for rpc in CALLS} == outcomes
    assert [] == reached
    assert len(outcomes) == sum(entry["event"] == "access.refused" for entry in log)
    secrets = [value for metadata in REFUSED.values() for _, value in metadata if value]
    assert [] == [s for s in secrets if s.removeprefix("Bearer ") in json.dumps(log, default=str)]


@pytest.mark.parametrize(
    "metadata", [_bearer(KEYS["good"][0]), _bearer(_token())], ids=["key", "token"]
)
async def test_a_good_credential_names_the_tenant(monkeypatch, tmp_path, metadata) -> None:
    """The tenant that the upstreams are told is the credential's."""
    async with running_stack(monkeypatch, access_file=_access_file(tmp_path)) as stack:
        assert ("OK", "") == await _outcome(stack, "StreamGenerate", metadata)

        assert {"acme"} == {call.tenant for call in [*stack.guard.checks, *stack.model.requests]}


async def test_roles_decide_about_rpcs_models_and_policies(monkeypatch, tmp_path) -> None:
    """A role grants what it lists and nothing else."""
    async with running_stack(monkeypatch, access_file=_access_file(tmp_path)) as stack:
        reader = {rpc: (await _outcome(stack, rpc, _bearer(KEYS["reader"][0])))[0] for rpc in CALLS}
        strict = _bearer(KEYS["strict"][0])
        await stack.stub.Generate(
            pb.GenerateRequest(messages=HI, model="small"), metadata=strict, timeout=60
        )
        refusals = []
        for fields in ({"model": "large"}, {}, {"model": "small", "policy": "default"}):
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                request = pb.GenerateRequest(messages=HI, **fields)
                await stack.stub.Generate(request, metadata=strict, timeout=60)
            refusals.append(from_rpc_error(refusal.value).reason)

    denied = dict.fromkeys(set(CALLS) - {"GetUsage"}, "PERMISSION_DENIED")
    assert denied == {rpc: code for rpc, code in reader.items() if rpc != "GetUsage"}
    assert reader["GetUsage"] != "PERMISSION_DENIED"
    assert {"strict"} == {check.policy for check in stack.guard.checks}
    assert ["MODEL_NOT_ALLOWED", "MODEL_NOT_ALLOWED", "POLICY_NOT_FOUND"] == refusals


@pytest.mark.parametrize("header", ["x-guard-verdict", "x-guardrail-action", "x-vedette-tenant"])
async def test_headers_that_pretend_to_be_verdicts_are_refused(
    monkeypatch, tmp_path, header
) -> None:
    """No metadata speaks for the guard, whoever sends it."""
    async with running_stack(monkeypatch, access_file=_access_file(tmp_path)) as stack:
        metadata = (*_bearer(KEYS["good"][0]), (header, "allow"))
        outcomes = {await _outcome(stack, rpc, metadata) for rpc in CALLS}

    assert {("INVALID_ARGUMENT", "RESERVED_METADATA")} == outcomes


async def test_keys_are_exchanged_without_a_restart(monkeypatch, tmp_path) -> None:
    """A key that is revoked in the file stops working; a wrong file changes nothing."""
    path = _access_file(tmp_path)
    good = _bearer(KEYS["good"][0])
    async with running_stack(monkeypatch, access_file=path) as stack:
        upkeep = stack.app._upkeep
        before = await _outcome(stack, "Generate", good)
        text = path.read_text()
        _replace(path, "this is not toml [")
        await upkeep.reload()
        meanwhile = await _outcome(stack, "Generate", good)
        _replace(path, text.replace('id = "good"', 'id = "good"\nrevoked = true'))
        # The gateway looks by itself too; whoever looks first reads the file.
        await upkeep.reload()
        while (after := await _outcome(stack, "GetDecision", good))[0] != "UNAUTHENTICATED":
            assert "DECISION_NOT_FOUND" == after[1]

    assert ["OK", "OK"] == [before[0], meanwhile[0]]


async def test_a_certificate_is_a_credential(monkeypatch, tmp_path) -> None:
    """Another authority's certificate does not connect; ours with an unknown name is refused."""
    ours, theirs = Authority("ours.example"), Authority("theirs.example")
    ours.install(tmp_path, "localhost")
    results = {}
    async with running_stack(
        monkeypatch, access_file=_access_file(tmp_path), **_tls(tmp_path)
    ) as stack:
        for name, authority, san in (
            ("good", ours, "spiffe://acme/app"),
            ("unknown name", ours, "spiffe://rival/app"),
            ("another authority", theirs, "spiffe://acme/app"),
        ):
            certificate, key = authority.issue(san)
            results[name] = await _over_tls(stack.port, ours.pem, key, certificate)
        results["none"] = await _over_tls(stack.port, ours.pem, None, None)

    assert {
        "good": "OK",
        "unknown name": "UNAUTHENTICATED",
        "another authority": "UNAVAILABLE",
        "none": "UNAVAILABLE",
    } == results


async def test_the_servers_certificate_is_exchanged_without_a_restart(
    monkeypatch, tmp_path
) -> None:
    """New connections are served by the files as they are; the old authority is not needed."""
    first, second = Authority("first.example"), Authority("second.example")
    first.install(tmp_path, "localhost")
    certificate, key = first.issue("spiffe://acme/app")
    async with running_stack(
        monkeypatch, access_file=_access_file(tmp_path), **_tls(tmp_path)
    ) as stack:
        before = await _over_tls(stack.port, first.pem, key, certificate)
        second.install(tmp_path, "localhost")
        certificate, key = second.issue("spiffe://acme/app")
        after = await _over_tls(stack.port, second.pem, key, certificate)

    assert ["OK", "OK"] == [before, after]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "gateway.example"])
def test_strangers_are_not_served_without_credentials(monkeypatch, host) -> None:
    """A gateway that others can reach needs an access file to start."""
    monkeypatch.setenv("VEDETTE_GATEWAY_HOST", host)

    with pytest.raises(SettingsError) as refusal:
        GatewaySettings.load()

    assert "VEDETTE_GATEWAY_ACCESS_FILE" in str(refusal.value)


def _tls(folder):
    return {
        "tls_cert": folder / "cert.pem",
        "tls_key": folder / "key.pem",
        "tls_client_ca": folder / "ca.pem",
    }


async def _over_tls(port, authority, key, certificate):
    credentials = grpc.ssl_channel_credentials(authority, key, certificate)
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.secure_channel(
        f"localhost:{port}", credentials, options=options
    ) as channel:
        from vedette.gateway.v1 import gateway_pb2_grpc

        stub = gateway_pb2_grpc.GatewayServiceStub(channel)
        try:
            await stub.Generate(CALLS["Generate"], timeout=60)
        except grpc.aio.AioRpcError as error:
            return error.code().name
    return "OK"


def _replace(path, text):
    """Write a new version with a time stamp of its own, however fast the test is."""
    stamp = path.stat().st_mtime_ns + 1_000_000
    path.write_text(text)
    os.utime(path, ns=(stamp, stamp))
