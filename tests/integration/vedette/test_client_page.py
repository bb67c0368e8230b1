"""The programs of README.md and docs/client.md do what the pages say."""

from __future__ import annotations

import asyncio
import re
import sys
from importlib import resources
from pathlib import Path

import pytest
from grpc_status import rpc_status

from servicekit.errors import Exhausted
from vedette.gateway.v1 import gateway_pb2 as pb
from vedette.gateway.v1 import gateway_pb2_grpc as stubs

ROOT = Path(__file__).parents[3]
PROGRAMS = {
    f"{page}: {number}": program
    for page in ("README.md", "docs/client.md")
    for number, program in enumerate(
        re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL), start=1
    )
}
TEXT = "By scattering."


class Gateway(stubs.GatewayServiceServicer):
    """Answers everything with the same text; the first whole answer is refused for a moment."""

    def __init__(self, attestation):
        self._end = {
            "finish_reason": pb.FINISH_REASON_STOP,
            "attestation": attestation,
            "usage": {"output_tokens": 3},
            "request_id": "req-1",
        }
        self._refused = False

    async def Generate(self, request, context):
        if not self._refused:
            self._refused = True
            fault = Exhausted(reason="OVERLOADED", retry_after_s=0.01)
            await context.abort_with_status(rpc_status.to_status(fault.to_status()))
        return pb.GenerateResponse(text=TEXT, **self._end)

    async def StreamGenerate(self, request, context):
        yield pb.StreamGenerateResponse(started={"request_id": "req-1"})
        yield pb.StreamGenerateResponse(delta={"text": TEXT})
        yield pb.StreamGenerateResponse(final=pb.Final(**self._end))

    async def GetDecision(self, request, context):
        return pb.GetDecisionResponse(decision={"executions": [{"detector": "pii"}]})


async def _run(program, target):
    """What a program prints, started anew where it was refused for a moment and gave up."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", program.replace("127.0.0.1:50051", target)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS.keys())
async def test_a_program_of_the_pages_runs(program, serving, attest):
    """As printed, but for the address."""
    gateway = Gateway(attest(TEXT))
    async with serving(gateway) as client:
        code, out, err = await _run(program, client.target)
        if "OVERLOADED" in err:
            code, out, err = await _run(program, client.target)
    assert (code, err) == (0, "")
    assert re.search(r"By scattering\.|3 tokens, trace [0-9a-f]{32}|\['pii'\]", out)


def test_the_package_says_that_it_is_typed():
    """Without the marker, type checkers take everything from it for Any."""
    assert resources.files("vedette").joinpath("py.typed").is_file()
