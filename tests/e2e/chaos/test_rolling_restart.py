"""Processes are replaced one by one, and nobody notices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.chaos.conftest import FORBIDDEN, Watch, build_fleet, logged

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


async def test_no_request_fails_while_another_replica_serves(folder: Path) -> None:
    """Each gateway and inference server is stopped and started under load; every call succeeds."""
    fleet = build_fleet(folder)
    watch = Watch(fleet)
    try:
        for part in fleet.parts.values():
            part.start()
        await fleet.ready()
        watch.begin(callers=4)
        for name in ("inference-1", "gateway-1", "inference-2", "gateway-2"):
            await watch.successes(20)
            part = fleet.parts[name]
            part.stop()
            await watch.successes(20)
            part.start()
            if name.startswith("gateway"):
                await fleet.answers(f"127.0.0.1:{part.port}")
            else:
                await logged(folder / f"{name}.log", "process.ready", times=2)
        await watch.successes(20)
        await watch.end()
    finally:
        fleet.stop()

    assert {"OK"} == set(watch.codes), [
        (outcome.code, outcome.reason) for outcome in watch.outcomes if outcome.code != "OK"
    ]
    assert [] == [outcome for outcome in watch.outcomes if FORBIDDEN in outcome.text]
    assert [] == [outcome for outcome in watch.outcomes if outcome.strange_marks]
