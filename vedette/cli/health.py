"""`vedette health`: whether the services serve."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

from vedette import probe
from vedette.cli.connection import CaFile, CertFile, CertKeyFile, credentials
from vedette.cli.terminal import COLOURS, EXIT_NO, err, fail, out
from vedette.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import grpc

    from vedette.services import Service

__all__ = ["health"]


def health(
    *,
    names: Annotated[
        list[str] | None,
        typer.Option("--service", metavar="NAME", help="Ask only this one; may be repeated."),
    ] = None,
    deadline_s: Annotated[
        float, typer.Option("--deadline", metavar="SECONDS", min=0.1, help="For each answer.")
    ] = 3.0,
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    cert_key_file: CertKeyFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask each service for its health by name; exit code 1 unless all are SERVING.

    Addresses are those of VEDETTE_<SERVICE>_HOST and _PORT, or the defaults of `vedette up`.
    With --ca-file all that are asked have to speak TLS; --service says which those are.

    Examples:
      vedette health
      vedette health --service gateway --ca-file ca.pem
    """
    services = _chosen(names or [])
    tls = credentials(ca_file, cert_file, cert_key_file)
    statuses = asyncio.run(_ask_all(services, deadline_s, tls))
    if as_json:
        out.print_json(json.dumps(statuses))
    else:
        for service in services:
            status = statuses[service.name]
            colour = "green" if status == "SERVING" else "bold red"
            out.print(
                f"[{COLOURS[service.name]}]{service.name:<11}[/][{colour}]{status:<18}[/]"
                f"{service.grpc_name} at {service.address()}",
                soft_wrap=True,
            )
    if any(status != "SERVING" for status in statuses.values()):
        err.print("Not all services are SERVING. Start them with `vedette up`, or read their logs.")
        raise typer.Exit(EXIT_NO)


def _chosen(names: list[str]) -> list[Service]:
    """The services of these names, or all; ends the command if there is no such service."""
    known = {service.name: service for service in SERVICES}
    for name in names:
        if name not in known:
            fail(f"There is no service {name}.", f"Name one of: {', '.join(known)}.", code=2)
    return [service for service in SERVICES if not names or service.name in names]


async def _ask_all(
    services: Sequence[Service], deadline_s: float, tls: grpc.ChannelCredentials | None
) -> dict[str, str]:
    answers = await asyncio.gather(
        *(
            probe.status(service.address(), service.grpc_name, deadline_s=deadline_s, tls=tls)
            for service in services
        )
    )
    return {service.name: answer for service, answer in zip(services, answers, strict=True)}
