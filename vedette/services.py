"""The three services as they run on one machine: names, ports, and how a process is started."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "GATEWAY",
    "GUARDRAILS",
    "INFERENCE",
    "SERVICES",
    "OwnCertificate",
    "Service",
    "ServiceProcess",
    "embedded",
    "free_ports",
    "wired",
    "wrong_settings",
]

# How `servicekit.mistakes` ends when it has found any.
_WRONG_SETTINGS: Final = 2
_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104  # looked up, not bound


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCertificate:
    """The files, in PEM, with which a service shows itself: its certificate chain and the key."""

    chain: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service by its names; the package that runs it has its name."""

    name: str
    grpc_name: str
    default_port: int

    def address(self, environ: Mapping[str, str] = os.environ) -> str:
        """Where this service is reached from this machine, as its own settings would say it."""
        socket_path = environ.get(self.variable("SOCKET"))
        if socket_path:
            return f"unix:{socket_path}"
        host = environ.get(self.variable("HOST"), "127.0.0.1")
        port = environ.get(self.variable("PORT"), self.default_port)
        return f"{_WILDCARDS.get(host, host)}:{port}"

    def certificate(self, environ: Mapping[str, str] = os.environ) -> OwnCertificate | None:
        """What it shows, as its own settings would say it; None where it speaks plain text."""
        chain, key = (environ.get(self.variable(name)) for name in ("TLS_CERT", "TLS_KEY"))
        return OwnCertificate(chain=Path(chain), key=Path(key)) if chain and key else None

    @property
    def metrics_port(self) -> int:
        """Where `vedette up` lets it show its metrics, on loopback."""
        return self.default_port + 10

    def metrics_address(self, environ: Mapping[str, str] = os.environ) -> str:
        """Where its metrics are scraped, unless its settings name another address."""
        return environ.get(self.variable("METRICS_ADDRESS"), f"127.0.0.1:{self.metrics_port}")

    def variable(self, setting: str) -> str:
        """The environment variable of one of its settings."""
        return f"VEDETTE_{self.name.upper()}_{setting}"


GUARDRAILS: Final = Service(
    name="guardrails", grpc_name="vedette.guardrails.v1.GuardrailsService", default_port=50052
)
INFERENCE: Final = Service(
    name="inference", grpc_name="vedette.inference.v1.InferenceService", default_port=50053
)
GATEWAY: Final = Service(
    name="gateway", grpc_name="vedette.gateway.v1.GatewayService", default_port=50051
)
# In the order in which they start: the gateway needs the other two.
SERVICES: Final = (GUARDRAILS, INFERENCE, GATEWAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceProcess:
    """A process to start: its program, its environment, and where it says that it is ready."""

    name: str
    argv: Sequence[str]
    target: str
    grpc_name: str
    certificate: OwnCertificate | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


def embedded(ports: Mapping[str, int]) -> tuple[ServiceProcess, ...]:
    """The three services on this machine, wired to each other, in the order in which they start.

    Hosts are loopback unless the environment names others. A service at its usual port shows its
    metrics at the usual place as well.
    """
    environ = wired(ports)
    return tuple(
        ServiceProcess(
            name=service.name,
            # -P: a folder of that name where the command is run is not our service.
            argv=(sys.executable, "-P", "-m", service.name),
            target=service.address(environ),
            grpc_name=service.grpc_name,
            certificate=service.certificate(environ),
            environ=environ,
        )
        for service in SERVICES
    )


def wired(ports: Mapping[str, int]) -> dict[str, str]:
    """The environment in which the three services find each other."""
    environ = dict(os.environ)
    for service in SERVICES:
        environ[service.variable("PORT")] = str(ports[service.name])
        if ports[service.name] == service.default_port:
            address = service.metrics_address(environ)
            environ.setdefault(service.variable("METRICS_ADDRESS"), address)
    environ[GATEWAY.variable("GUARDRAILS_TARGET")] = GUARDRAILS.address(environ)
    environ[GATEWAY.variable("INFERENCE_TARGET")] = INFERENCE.address(environ)
    return environ


def wrong_settings(environ: Mapping[str, str]) -> list[str]:
    """Every mistake in the settings of the three services, read in one process that starts none.

    Where they cannot be read nothing is reported: each service still reads its own.
    """
    names = (service.name for service in SERVICES)
    done = subprocess.run(  # noqa: S603  # our own arguments
        [sys.executable, "-P", "-m", "servicekit.mistakes", *names],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.splitlines() if done.returncode == _WRONG_SETTINGS else []


def free_ports(host: str = "127.0.0.1") -> dict[str, int]:
    """A port for each service on which nobody listens at the moment."""
    with ExitStack() as held:
        ports = {}
        for service in SERVICES:
            probe = held.enter_context(socket.socket())
            probe.bind((host, 0))
            ports[service.name] = probe.getsockname()[1]
        return ports
