"""`vedette trace ls`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from vedette.cli.terminal import err, out
from vedette.cli.trace.listing import listing
from vedette.cli.trace.sources import (
    AsJson,
    Blocked,
    Errors,
    Folder,
    Server,
    Since,
    Slow,
    Tenant,
    chosen,
    recent,
)
from vedette.traces.export import summary
from vedette.traces.filters import Filter

__all__ = ["ls"]


def ls(
    *,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many at most.")] = 20,
    slow_ms: Slow = 0.0,
    errors: Errors = False,
    blocked: Blocked = False,
    tenant: Tenant = "",
    since: Since = "",
    folder: Folder = None,
    server: Server = "",
    as_json: AsJson = False,
) -> None:
    """List the latest traces that meet all conditions, newest first.

    Examples:
      vedette trace ls --slow 1000 --since 10m
      vedette trace ls --blocked --json | jq '.[].trace_id'
    """
    conditions = chosen(slow_ms=slow_ms, errors=errors, blocked=blocked, tenant=tenant, since=since)
    traces = recent(folder, server, conditions)[:count]
    if as_json:
        out.print_json(json.dumps([summary(trace) for trace in traces]))
    elif traces:
        out.print(listing(traces, width=out.width))
    elif conditions == Filter():
        err.print("There are no traces yet. Start the services with `vedette up` and ask.")
    else:
        err.print("No trace meets these conditions.")
