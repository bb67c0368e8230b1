"""Containers and compose file agree with the services that they run."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath

import pytest
import yaml

from gateway.identity import register
from scripts.settings_page import SERVICES
from servicekit.settings import settings_class
from vedette import home, services

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
DOCKERFILES = {service: (ROOT / service / "Dockerfile").read_text() for service in SERVICES}
PORTS = {service.name: service.default_port for service in services.SERVICES}


def _known(service):
    settings = settings_class(service)
    return {settings.prefix() + name.upper() for name in settings.model_fields} | {"VEDETTE_HOME"}


def _environment(service):
    """What compose gives a service, as the container would see it with nothing set outside."""
    return {
        name: re.sub(r"\$\{\w+:-(\w+)\}", r"\1", str(value))
        for name, value in COMPOSE["services"][service]["environment"].items()
    }


def _last_stage(service):
    return DOCKERFILES[service].split("FROM ")[-1]


def _instruction(service, name):
    """The arguments of the last instruction of this name, continuation lines joined."""
    text = _last_stage(service).replace("\\\n", " ")
    return re.findall(rf"^{name}\s+(.*)$", text, re.MULTILINE)[-1]


@pytest.mark.parametrize("service", SERVICES)
def test_every_variable_is_a_setting(service):
    """A misspelt variable would stop the container at its start."""
    in_dockerfile = set(re.findall(r"VEDETTE_[A-Z_]+", DOCKERFILES[service]))
    used = {name for name in _environment(service) if name.startswith("VEDETTE_")}
    assert (used | in_dockerfile) - _known(service) == set()


@pytest.mark.parametrize("service", SERVICES)
def test_every_value_is_accepted(service, monkeypatch):
    """The service's own settings load from what compose and the image give it."""
    image = dict(re.findall(r"(VEDETTE_[A-Z_]+)=(\S+)", _last_stage(service)))
    for name, value in (image | _environment(service)).items():
        monkeypatch.setenv(name, value)
    assert settings_class(service).load()


@pytest.mark.parametrize("service", SERVICES)
def test_the_image_opens_the_default_port(service):
    """EXPOSE, the settings' default and the command's idea of the port are one number."""
    default = settings_class(service).model_fields["port"].default
    assert (int(_instruction(service, "EXPOSE")), default) == (PORTS[service], PORTS[service])


@pytest.mark.parametrize("service", SERVICES)
def test_the_image_is_built_in_stages_of_one_extra(service):
    """The build's tools stay behind, and each image installs its own extra and no other."""
    stages = re.findall(r"^FROM (\S+)( AS \w+)?$", DOCKERFILES[service], re.MULTILINE)
    assert len(stages) == 2
    assert re.findall(r"'\.\[(\w+)\]'", DOCKERFILES[service]) == [service]


@pytest.mark.parametrize("service", SERVICES)
def test_the_image_runs_without_privileges(service):
    """The process is the service itself, receives signals, and is not root."""
    assert int(_instruction(service, "USER")) > 0
    assert json.loads(_instruction(service, "ENTRYPOINT")) == ["python", "-m", service]


@pytest.mark.parametrize("service", SERVICES)
def test_the_image_knows_how_to_ask_for_its_health(service):
    """The health check asks this service by its own name."""
    command = _instruction(service, "HEALTHCHECK").split("CMD", 1)[1]
    assert json.loads(command) == ["python", "-m", "vedette.probe", service]


@pytest.mark.parametrize("service", SERVICES)
def test_the_image_holds_what_the_distribution_is_made_of(service):
    """Every package of the wheel is copied into the build, and let through by .dockerignore."""
    packages = {"vedette", "servicekit", *SERVICES}
    copied = set(re.findall(r"^COPY (\w+) \1$", DOCKERFILES[service], re.MULTILINE))
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert (copied, {f"!{name}" for name in packages} - set(ignored)) == (packages, set())


@pytest.mark.parametrize("service", SERVICES)
def test_there_is_time_to_drain(service):
    """Docker waits longer than the service needs to stop by itself."""
    environment = _environment(service)
    prefix = settings_class(service).prefix()
    needed_s = sum(
        float(environment.get(prefix + name, 0)) for name in ("DRAIN_S", "DRAIN_NOTICE_S")
    )
    grace_s = int(COMPOSE["services"][service]["stop_grace_period"].removesuffix("s"))
    assert 0 < needed_s < grace_s


def test_the_gateway_starts_last():
    """The gateway waits until what it needs is healthy."""
    waits = COMPOSE["services"]["gateway"]["depends_on"]
    assert {name: how["condition"] for name, how in waits.items()} == {
        "guardrails": "service_healthy",
        "inference": "service_healthy",
        "redis": "service_healthy",
    }


def test_the_gateway_finds_the_others():
    """Targets of the gateway are addresses at which compose lets the others listen."""
    gateway = _environment("gateway")
    socket = _environment("guardrails")["VEDETTE_GUARDRAILS_SOCKET"]
    port = _environment("inference")["VEDETTE_INFERENCE_PORT"]
    assert gateway["VEDETTE_GATEWAY_GUARDRAILS_TARGET"] == f"unix:{socket}"
    assert gateway["VEDETTE_GATEWAY_INFERENCE_TARGET"] == f"dns:///inference:{port}"


def test_only_the_gateway_is_open():
    """No port of guardrails or inference is published, and the gateway's on loopback only."""
    published = {
        name: COMPOSE["services"][name]["ports"]
        for name in ("gateway", "guardrails", "inference", "redis")
        if "ports" in COMPOSE["services"][name]
    }
    assert published == {"gateway": ["127.0.0.1:50051:50051"]}


WRITTEN = {
    "gateway": (home.traces_dir,),
    "guardrails": (home.traces_dir, home.rules_dir, home.shadow_dir),
    "inference": (home.traces_dir, home.models_dir),
}


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_service_writes_has_a_place(service, monkeypatch):
    """The root of a container is read-only; what is kept lies in a volume of the service's user."""
    monkeypatch.setenv("VEDETTE_HOME", "/var/lib/vedette")
    mounted = {
        PurePosixPath(mount.split(":")[1]) for mount in COMPOSE["services"][service]["volumes"]
    }
    written = {PurePosixPath(folder()) for folder in WRITTEN[service]}
    made = set(map(PurePosixPath, re.findall(r"/var/lib/vedette/\w+", _last_stage(service))))
    assert (written - mounted, written - made) == (set(), set())


def test_every_volume_and_file_exists():
    """What is mounted is declared below or lies in the checkout."""
    mounts = [
        mount.split(":")[0]
        for service in COMPOSE["services"].values()
        for mount in service.get("volumes", [])
    ]
    missing = [
        source
        for source in mounts
        if not (ROOT / source).exists() and source not in COMPOSE["volumes"]
    ]
    assert missing == []


def test_the_access_file_is_valid_and_lets_nobody_in():
    """The file that compose mounts can be read, and holds no key that others could know."""
    access = register.read(ROOT / "deploy" / "compose" / "access.toml")
    assert (set(access.tenants), access.keys, access.certificates) == ({"house"}, (), ())
