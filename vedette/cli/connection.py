"""How a command reaches a service: where it is, who asks, and whom to trust."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated, TypeAlias

import grpc
import typer

from vedette import Client
from vedette.cli.terminal import fail
from vedette.services import GATEWAY

__all__ = ["CaFile", "CertFile", "CertKeyFile", "KeyFile", "Target", "credentials", "gateway"]

Target: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS",
        envvar="VEDETTE_TARGET",
        help="The gateway.",
        show_default="that of `vedette up`",
    ),
]
KeyFile: TypeAlias = Annotated[
    Path | None,
    # Not the key itself: every user of the machine can read the arguments of a process.
    typer.Option(metavar="FILE", envvar="VEDETTE_KEY_FILE", help="A file that holds the API key."),
]
CaFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        envvar="VEDETTE_CA_FILE",
        help="Speak TLS, and trust the certificates of this authority (PEM).",
    ),
]
CertFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", envvar="VEDETTE_CERT_FILE", help="With --ca-file: our certificate (PEM)."
    ),
]
CertKeyFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", envvar="VEDETTE_CERT_KEY_FILE", help="The key of our certificate (PEM)."
    ),
]


def gateway(
    target: str,
    key_file: Path | None,
    ca_file: Path | None,
    cert_file: Path | None,
    cert_key_file: Path | None,
    *,
    deadline_s: float,
) -> Client:
    """A client of the gateway that these options name; unusable files end the command."""
    return Client(
        target or GATEWAY.address(),
        api_key=None if key_file is None else _api_key(key_file),
        tls=credentials(ca_file, cert_file, cert_key_file),
        deadline_s=deadline_s,
    )


def credentials(
    ca_file: Path | None, cert_file: Path | None, cert_key_file: Path | None
) -> grpc.ChannelCredentials | None:
    """What TLS needs, or None for plain text; unusable files end the command."""
    if (cert_file is None) != (cert_key_file is None):
        fail("--cert-file and --cert-key-file go together.", "Give both, or neither.", code=2)
    if cert_file is not None and ca_file is None:
        fail("A certificate needs TLS.", "Name the other side's authority with --ca-file.", code=2)
    if ca_file is None:
        return None
    authority = _read(ca_file)
    certificate = _read(cert_file) if cert_file else None
    key = _read(cert_key_file) if cert_key_file else None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=authority.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError):
        fail(f"{ca_file} holds no certificate.", "Name an authority's file in PEM.", code=2)
    if cert_file and cert_key_file:
        try:
            context.load_cert_chain(cert_file, cert_key_file, password="")
        except ssl.SSLError:
            fail(
                f"{cert_file} and {cert_key_file} are not a certificate and its key.",
                "Name two files in PEM that belong together, the key without a password.",
                code=2,
            )
    return grpc.ssl_channel_credentials(authority, key, certificate)


def _api_key(path: Path) -> str:
    try:
        return _read(path).decode("ascii").strip()
    except UnicodeDecodeError:
        fail(f"{path} holds no API key.", "A key is one line of ASCII.", code=2)


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}.", "Name another file.", code=2)
    if not content.strip():
        fail(f"{path} is empty.", "Name another file, or fill it.", code=2)
    return content
