"""The supervisor with real processes."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from contextlib import ExitStack

import psutil
import pytest

from vedette.services import ServiceProcess
from vedette.supervisor import ServiceFailedError, Supervisor

SERVING = """
import os, signal, sys, time
from concurrent import futures
import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

name, port = sys.argv[1:3]
# Blocked before there are threads, and waited for below: a handler could miss its moment.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
server = grpc.server(futures.ThreadPoolExecutor(4))
servicer = health.HealthServicer()
status = "NOT_SERVING" if "sick" in sys.argv else "SERVING"
servicer.set(name, health_pb2.HealthCheckResponse.ServingStatus.Value(status))
health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
if "parent" in sys.argv:
    import subprocess
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print(f"grandchild {child.pid}", flush=True)
server.add_insecure_port(f"127.0.0.1:{port}")
server.start()
print(f"{name} is up", flush=True)
signal.sigwait({signal.SIGTERM})
while "stubborn" in sys.argv:
    time.sleep(600)
print(f"{name} says goodbye", flush=True)
os._exit(0)
"""

FAILING = """
import sys
for number in range(30):
    print(f"line {number}", flush=True)
print("the reason, on standard error", file=sys.stderr)
sys.exit(3)
"""


def serving(name, port, *habits):
    return _process(name, port, SERVING, name, str(port), *habits)


def failing(name, port):
    return _process(name, port, FAILING)


def _process(name, port, script, *args):
    return ServiceProcess(
        name=name,
        argv=(sys.executable, "-c", script, *args),
        target=f"127.0.0.1:{port}",
        grpc_name=name,
    )


class Heard:
    """An audience that remembers."""

    def __init__(self):
        self.events = []
        self.lines = []
        self.spoke = asyncio.Event()

    def starting(self, name):
        self.events.append(("starting", name))

    def ready(self, name, after_s):
        self.events.append(("ready", name))

    def line(self, name, text):
        self.lines.append((name, text))
        self.spoke.set()

    def stopping(self, name):
        self.events.append(("stopping", name))


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
def ports():
    """Three ports on which nobody listens."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(3)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def running(name):
    """The processes of this test's children that serve under a name."""
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE and name in child.cmdline()
    ]


def grandchild_of(heard):
    """The process that a child says it has started."""
    return next(int(text.split()[1]) for _, text in heard.lines if text.startswith("grandchild"))


async def test_they_start_in_order_and_stop_in_reverse(heard, ports):
    """Each starts after the one before is ready, and ends before the one before is asked to."""
    processes = [serving("a", ports[0]), serving("b", ports[1])]
    async with Supervisor(processes, audience=heard):
        assert [len(running("a")), len(running("b"))] == [1, 1]
    assert heard.events == [
        ("starting", "a"),
        ("ready", "a"),
        ("starting", "b"),
        ("ready", "b"),
        ("stopping", "b"),
        ("stopping", "a"),
    ]
    assert heard.lines == [
        ("a", "a is up"),
        ("b", "b is up"),
        ("b", "b says goodbye"),
        ("a", "a says goodbye"),
    ]
    assert [running("a"), running("b")] == [[], []]


async def test_a_child_that_fails_is_reported_with_its_last_lines(heard, ports):
    """Who failed, how, and the last twenty lines of both its outputs; the rest is stopped."""
    supervisor = Supervisor([serving("a", ports[0]), failing("b", ports[1])], audience=heard)
    with pytest.raises(ServiceFailedError, match="b ended with exit code 3") as raised:
        async with supervisor:
            pass
    assert raised.value.last_lines == (
        *(f"line {number}" for number in range(11, 30)),
        "the reason, on standard error",
    )
    assert running("a") == []


async def test_a_child_that_is_never_ready_is_given_up(heard, ports):
    """NOT_SERVING beyond the timeout is a failure, and the process does not stay."""
    supervisor = Supervisor([serving("a", ports[0], "sick")], audience=heard, ready_timeout_s=1.5)
    with pytest.raises(ServiceFailedError, match=r"did not report SERVING within 1\.5 s"):
        async with supervisor:
            pass
    assert running("a") == []


async def test_an_occupied_port_is_refused_before_anything_starts(heard, ports):
    """A stale process that answers on a later one's port is not mistaken for the new one."""
    with socket.create_server(("127.0.0.1", 0)) as stale:
        port = stale.getsockname()[1]
        processes = [serving("a", ports[0]), serving("b", port)]
        supervisor = Supervisor(processes, audience=heard)
        with pytest.raises(ServiceFailedError, match=f"something else listens on 127.0.0.1:{port}"):
            await supervisor.start()
    assert heard.events == []


async def test_one_that_dies_is_noticed(heard, ports):
    """The end of any process, by itself or by force, ends the wait and says how."""
    processes = [serving("a", ports[0]), serving("b", ports[1])]
    async with Supervisor(processes, audience=heard) as supervisor:
        watching = asyncio.create_task(supervisor.failed())
        running("b")[0].kill()
        failure = await asyncio.wait_for(watching, 60)
    assert (failure.name, failure.problem) == ("b", "was killed by SIGKILL")
    assert running("a") == []


async def test_one_that_ignores_the_request_is_killed(heard, ports):
    """SIGTERM first, SIGKILL after the timeout."""
    supervisor = Supervisor(
        [serving("a", ports[0], "stubborn")], audience=heard, stop_timeout_s=0.3
    )
    async with supervisor:
        pass
    assert running("a") == []


async def test_what_a_child_started_ends_with_it(heard, ports):
    """A grandchild in the same group does not survive the stop."""
    async with Supervisor([serving("a", ports[0], "parent")], audience=heard):
        grandchild = grandchild_of(heard)
        assert psutil.pid_exists(grandchild)
    assert ended(grandchild)


async def test_the_end_of_a_child_is_noticed_though_its_child_lives_on(heard, ports):
    """A grandchild that holds the pipe open does not hide that its parent has died."""
    async with Supervisor([serving("a", ports[0], "parent")], audience=heard) as supervisor:
        watching = asyncio.create_task(supervisor.failed())
        running("a")[0].kill()
        failure = await asyncio.wait_for(watching, 60)
        assert psutil.pid_exists(grandchild_of(heard))
    assert failure.problem == "was killed by SIGKILL"


async def test_kill_leaves_nothing_and_does_not_wait(heard, ports):
    """The second signal's way out: everything is killed at once."""
    supervisor = Supervisor([serving("a", ports[0], "stubborn")], audience=heard)
    await supervisor.start()
    supervisor.kill()
    failure = await asyncio.wait_for(supervisor.failed(), 60)
    await supervisor.stop()
    assert (failure.problem, running("a")) == ("was killed by SIGKILL", [])


async def test_stopping_twice_is_harmless(heard, ports):
    """A stop after a stop finds nothing to do."""
    supervisor = Supervisor([serving("a", ports[0])], audience=heard)
    await supervisor.start()
    await supervisor.stop()
    await supervisor.stop()
    assert heard.events.count(("stopping", "a")) == 1


async def test_a_stop_during_the_start_ends_what_was_started(heard, ports):
    """Giving up while a process is not ready yet leaves no process behind."""
    supervisor = Supervisor([serving("a", ports[0], "sick")], audience=heard)
    starting = asyncio.create_task(supervisor.start())
    await asyncio.wait_for(heard.spoke.wait(), 60)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await supervisor.stop()
    assert running("a") == []


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_children_end_with_a_supervisor_that_is_killed(tmp_path):
    """Even SIGKILL of the supervisor leaves no child behind."""
    script = tmp_path / "supervise.py"
    script.write_text(SUPERVISE)
    supervisor = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    child = int(supervisor.stdout.readline())
    supervisor.kill()
    supervisor.communicate()
    assert ended(child)


SUPERVISE = """
import asyncio, sys
from vedette.services import ServiceProcess
from vedette.supervisor import Supervisor

class Relay:
    def __getattr__(self, name):
        return lambda *heard: print(heard[1], flush=True) if name == "line" else None

child = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
process = ServiceProcess(
    name="a", argv=(sys.executable, "-c", child), target="127.0.0.1:1", grpc_name="a"
)
asyncio.run(Supervisor([process], audience=Relay()).start())
"""


def ended(pid):
    """Whether a process ends within five seconds; a zombie has."""
    try:
        process = psutil.Process(pid)
        return process.status() == psutil.STATUS_ZOMBIE or process.wait(5) is None
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return process.status() == psutil.STATUS_ZOMBIE
