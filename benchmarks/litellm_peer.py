"""LiteLLM's proxy as the peer of the gateway benchmark, without a guard and with its own.

The proxy runs with its defaults and one worker, as the gateway does, before an OpenAI-compatible
server that answers at once. Its own guard is its content filter, which looks for some of what our
rules look for, in prompt and answer, inside the proxy's process. The load is HTTP over kept
connections, written by hand so that the client costs little. Give `--litellm PROGRAM` to use an
installation that is there; otherwise one is made in a temporary folder, which takes minutes.

    python -m benchmarks.litellm_peer upstream            serve, and print the port
    python -m benchmarks.litellm_peer load PORT CALLERS SECONDS
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.figures import unary_summary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_ENVIRONMENT = {
    "LITELLM_LOG": "ERROR",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    # Without a key it refuses to start; the gateway that it is compared with asks for none either.
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
}
# What of our rules' categories the filter has a pattern for.
_PATTERNS = (
    *("email", "us_phone", "us_ssn", "credit_card", "iban", "ipv4", "ipv6"),
    *("aws_access_key", "github_token", "slack_token", "generic_api_key"),
)
_FILTER = """guardrails:
- guardrail_name: filter
  litellm_params:
    guardrail: litellm_content_filter
    mode: [pre_call, post_call]
    default_on: true
    patterns:
""" + "".join(
    f"    - {{pattern_type: prebuilt, pattern_name: {name}, action: MASK}}\n" for name in _PATTERNS
)
_ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "weightless",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": "word " * 32},
            }
        ],
        "usage": {"prompt_tokens": 8, "completion_tokens": 32, "total_tokens": 40},
    }
).encode()
_QUESTION = json.dumps(
    {"model": "weightless", "messages": [{"role": "user", "content": "Say some words."}]}
).encode()
_REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer none\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(_QUESTION), _QUESTION)
)


async def _read_message(reader: asyncio.StreamReader) -> bytes:
    """Header of one HTTP message; its body is read and dropped."""
    header = await reader.readuntil(b"\r\n\r\n")
    fields = dict(
        line.lower().split(b": ", 1) for line in header.split(b"\r\n")[1:] if b": " in line
    )
    if b"content-length" in fields:
        await reader.readexactly(int(fields[b"content-length"]))
    elif fields.get(b"transfer-encoding") == b"chunked":
        while size := int(await reader.readuntil(b"\r\n"), 16):
            await reader.readexactly(size + 2)
        await reader.readexactly(2)
    return header


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            await _read_message(reader)
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (len(_ANSWER), _ANSWER)
            )
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def upstream() -> None:
    """Serve until terminated."""
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _caller(port: int, until_s: float) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    latencies = []
    while (start_s := time.perf_counter()) < until_s:
        writer.write(_REQUEST)
        header = await _read_message(reader)
        assert header.startswith(b"HTTP/1.1 200"), header[:40]
        latencies.append(time.perf_counter() - start_s)
    writer.close()
    return latencies


async def load(port: int, callers: int, seconds: float) -> None:
    """One process of load; prints what it saw as JSON."""
    await _caller(port, time.perf_counter() + 0.3)  # warm up
    until_s = time.perf_counter() + seconds
    lists = await asyncio.gather(*(_caller(port, until_s) for _ in range(callers)))
    print(json.dumps([sample for samples in lists for sample in samples]))


class Peers:
    """Running proxies, by name, and the upstream behind them as `direct`."""

    def __init__(self, ports: dict[str, int]) -> None:
        """Call them at these ports."""
        self._ports = ports

    async def compare(self, callers: int, seconds: float, rounds: int) -> dict[str, Any]:
        """Print a line for each, and return their figures; they take turns."""
        samples: dict[str, list[float]] = {name: [] for name in self._ports}
        for _ in range(rounds):
            for name, port in self._ports.items():
                samples[name] += await _load_processes(port, callers, seconds)
        rows = {name: unary_summary(taken, seconds * rounds) for name, taken in samples.items()}
        for name, row in rows.items():
            figures = "  ".join(
                f"{key} {row[key]:7.2f} (+{row[key] - rows['direct'][key]:6.2f})"
                for key in ("p50_ms", "p99_ms")
            )
            print(f"peer   {callers:3} {name:15} {figures}  {row['per_s']:7.0f} calls/s")
        return rows


@asynccontextmanager
async def running(program: str | None) -> AsyncIterator[Peers]:
    """Both proxies before one upstream."""
    async with AsyncExitStack() as stack:
        installed = program or await _installed(stack)
        upstream_port = await stack.enter_async_context(_upstream_process())
        ports = {"direct": upstream_port}
        for name, guard in (("litellm", ""), ("litellm+filter", _FILTER)):
            ports[name] = await stack.enter_async_context(_proxy(installed, upstream_port, guard))
        yield Peers(ports)


async def _load_processes(port: int, callers: int, seconds: float) -> list[float]:
    shares = [share for share in (callers - callers // 2, callers // 2) if share]
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.litellm_peer", "load"),
            *(str(port), str(share), str(seconds)),
            stdout=asyncio.subprocess.PIPE,
        )
        for share in shares
    ]
    outputs = await asyncio.gather(*(process.communicate() for process in processes))
    return [sample for output, _ in outputs for sample in json.loads(output)]


async def _installed(stack: AsyncExitStack) -> str:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="litellm")))
    for command in (
        (sys.executable, "-m", "venv", str(folder)),
        (str(folder / "bin" / "pip"), "install", "--quiet", "litellm[proxy]"),
    ):
        process = await asyncio.create_subprocess_exec(*command)
        if await process.wait():
            raise SystemExit("LiteLLM could not be installed")
    return str(folder / "bin" / "litellm")


@asynccontextmanager
async def _upstream_process() -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.litellm_peer", "upstream"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def _proxy(program: str, upstream_port: int, guard: str) -> AsyncIterator[int]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(
            "model_list:\n- model_name: weightless\n  litellm_params:\n"
            f"    model: openai/weightless\n    api_base: http://127.0.0.1:{upstream_port}/v1\n"
            f"    api_key: none\n{guard}"
        )
        process = await asyncio.create_subprocess_exec(
            *(program, "--config", str(config), "--host", "127.0.0.1", "--port", str(port)),
            *("--num_workers", "1"),
            env=os.environ | _ENVIRONMENT,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await _listening(port)
            yield port
        finally:
            process.terminate()
            await process.wait()


async def _listening(port: int, timeout_s: float = 180) -> None:
    end_s = time.monotonic() + timeout_s
    while True:
        try:
            await _caller(port, time.perf_counter() + 0.01)
        except (OSError, asyncio.IncompleteReadError, AssertionError):
            assert time.monotonic() < end_s, "the proxy does not answer"
            await asyncio.sleep(0.5)
        else:
            return


if __name__ == "__main__":
    if sys.argv[1] == "upstream":
        asyncio.run(upstream())
    else:
        asyncio.run(load(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
