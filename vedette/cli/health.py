"""`vedette health`: whether all three services serve."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer

from vedette import probe
from vedette.cli.terminal import COLOURS, EXIT_NO, err, out
from vedette.services import SERVICES

__all__ = ["health"]


def health(
    *,
    deadline_s: Annotated[
        float, typer.Option("--deadline", min=0.1, help="Seconds to wait for each answer.")
    ] = 3.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask each service for its health by name; exit code 1 unless all are SERVING.

    Addresses are those of VEDETTE_<SERVICE>_HOST and _PORT, or the defaults of `vedette up`.
    """
    statuses = asyncio.run(_ask_all(deadline_s))
    if as_json:
        out.print_json(json.dumps(statuses))
    else:
        for service in SERVICES:
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


async def _ask_all(deadline_s: float) -> dict[str, str]:
    answers = await asyncio.gather(
        *(
            probe.status(service.address(), service.grpc_name, deadline_s=deadline_s)
            for service in SERVICES
        )
    )
    return {service.name: answer for service, answer in zip(SERVICES, answers, strict=True)}
