"""`vedette trace tail`."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from vedette.cli.terminal import err, out
from vedette.cli.trace.listing import listing
from vedette.cli.trace.sources import (
    Blocked,
    Errors,
    Folder,
    Slow,
    Tenant,
    chosen,
    folder_or_default,
)
from vedette.traces.follow import Follower

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vedette.traces import Trace
    from vedette.traces.filters import Filter

__all__ = ["tail"]

_POLL_S = 0.2


def tail(
    *,
    count: Annotated[
        int | None, typer.Option("-n", "--count", min=1, help="End after so many.")
    ] = None,
    slow_ms: Slow = 0.0,
    errors: Errors = False,
    blocked: Blocked = False,
    tenant: Tenant = "",
    folder: Folder = None,
) -> None:
    """Print each trace as it ends, until Ctrl-C.

    Examples:
      vedette trace tail
      vedette trace tail --error -n 1
    """
    conditions = chosen(slow_ms=slow_ms, errors=errors, blocked=blocked, tenant=tenant, since="")
    where = folder_or_default(folder)
    follower = Follower(where)
    err.print(f"[dim]waiting for traces in {where}[/]")
    for number, trace in enumerate(islice(_endless(follower, conditions), count)):
        out.print(listing([trace], width=out.width, header=number == 0))


def _endless(follower: Follower, conditions: Filter) -> Iterator[Trace]:
    while True:
        yield from filter(conditions.matches, follower.poll(time.monotonic()))
        time.sleep(_POLL_S)
