"""Settings come from the environment, are parsed once into a frozen value, and fail loudly.

Each service derives its own class with its own prefix, `VEDETTE_<SERVICE>_`. All mistakes are
reported together, and a variable that no one reads is a mistake.
"""

from __future__ import annotations

import difflib
import importlib
import ipaddress
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from servicekit.certificates import CertificateFiles
from vedette import home
from vedette.counting import counted

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails
    from pydantic_settings import PydanticBaseSettingsSource

__all__ = [
    "Port",
    "RedisUrl",
    "ServiceSettings",
    "SettingsError",
    "mistakes",
    "settings_class",
]


def _is_redis(url: SecretStr) -> SecretStr:
    value = url.get_secret_value()
    if not value.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("it has to begin with redis://, rediss:// or unix://")
    try:
        _ = urlsplit(value).port
    except ValueError:
        raise ValueError(
            "it is no URL; in a password, write / : @ # ? % as %2F %3A %40 %23 %3F %25"
        ) from None
    return url


Port = Annotated[int, Field(ge=0, le=65535)]
# A secret, because a password may stand in it.
RedisUrl = Annotated[SecretStr, AfterValidator(_is_redis)]

_PREFIXES = ("VEDETTE_GATEWAY_", "VEDETTE_GUARDRAILS_", "VEDETTE_INFERENCE_")
_JSON_RULES = {
    "tuple_type": 'write a JSON list, for example ["one", "two"]',
    "dict_type": 'write a JSON object, for example {"one": 1}',
}
# Read by the command line and the scripts, and seen by the services that they start.
_SHARED_VARIABLES = frozenset(
    f"VEDETTE_{name}"
    for name in ("HOME", "VENV", "TARGET", "KEY_FILE", "CA_FILE", "CERT_FILE", "CERT_KEY_FILE")
)


class SettingsError(Exception):
    """One or more settings are wrong; the text lists every one of them."""

    def __init__(self, mistakes: list[str]) -> None:
        """Keep the mistakes, one line each."""
        self.mistakes = tuple(mistakes)
        lines = "\n".join(f"  - {mistake}" for mistake in mistakes)
        super().__init__(f"{counted(len(mistakes), 'wrong setting')}:\n{lines}")


class ServiceSettings(BaseSettings):
    """What every service can be told."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, env_parse_none_str="none"
    )

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: Port = Field(0, description="Port to listen on; 0 picks a free one.")
    socket: Path | None = Field(
        None, description="Unix socket to listen on instead of host and port."
    )
    tls_cert: Path | None = Field(
        None, description="Certificate chain in PEM; with it the service speaks TLS only."
    )
    tls_key: Path | None = Field(None, description="Private key of the certificate, in PEM.")
    tls_client_ca: Path | None = Field(
        None,
        description="Authorities in PEM, one of which must have signed a caller's certificate.",
    )
    drain_notice_s: float = Field(
        0.0,
        ge=0,
        le=60,
        description="Seconds from reporting NOT_SERVING to refusing calls; balancers notice.",
    )
    drain_s: float = Field(
        10.0, ge=0, le=3600, description="Seconds that running calls get to finish at shutdown."
    )
    default_deadline_s: float = Field(
        120.0, gt=0, le=86400, description="Deadline of a call whose caller set none, in seconds."
    )
    max_message_bytes: int = Field(
        32 * 1024 * 1024,
        ge=1024,
        le=1024**3,
        description="Largest message that the transport accepts, in bytes.",
    )
    trace_dir: Path | None = Field(
        default_factory=home.traces_dir,
        description="Folder for spans as OTLP-JSON files; `none` writes no files.",
    )
    trace_dir_max_bytes: int = Field(
        256 * 1024 * 1024,
        ge=1024 * 1024,
        description="Bytes that this service's span files may take; the oldest go first.",
    )
    otlp_endpoint: str | None = Field(
        None,
        description="Collector to send spans to by OTLP over gRPC, for example http://localhost:4317.",
    )
    metrics_address: str | None = Field(
        None,
        pattern=r"^(\[[0-9a-fA-F:]+\]|[^:\[\]]+):\d{1,5}$",
        description="Where Prometheus may scrape metrics, host:port, for example 127.0.0.1:50061.",
    )
    otlp_metrics_endpoint: str | None = Field(
        None, description="Collector to send metrics to by OTLP over gRPC, every 15 seconds."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe log lines to write."
    )

    debug_requests: bool = Field(
        False,
        description=(
            "Whether a call with the metadata `log-details: 1` has its steps and detectors in "
            "the log, each with a line at level info."
        ),
    )

    @classmethod
    def load(cls) -> Self:
        """Read the environment.

        Raises:
            SettingsError: with every mistake, each naming the variable and the rule.
        """
        found = mistakes(cls)
        if found:
            raise SettingsError(found)
        return cls()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - ours instead
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the environment and no file."""
        return init_settings, _Environment(settings_cls)

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("set both TLS_CERT and TLS_KEY, or neither")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("TLS_CLIENT_CA needs TLS_CERT and TLS_KEY")
        return self

    @property
    def certificate_files(self) -> CertificateFiles | None:
        """Where the certificate is, if the service speaks TLS."""
        if self.tls_cert is None or self.tls_key is None:
            return None
        return CertificateFiles(
            certificate=self.tls_cert, key=self.tls_key, authority=self.tls_client_ca
        )

    @property
    def address(self) -> str:
        """Where to listen, as grpc writes it."""
        return f"unix:{self.socket}" if self.socket else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on this machine can reach the service."""
        if self.socket or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @classmethod
    def prefix(cls) -> str:
        """What this service's variables begin with."""
        return cls.model_config["env_prefix"]

    @classmethod
    def variables(cls) -> frozenset[str]:
        """The environment variables that this service reads."""
        return frozenset(cls.prefix() + name.upper() for name in cls.model_fields)

    @classmethod
    def wrong_values(cls) -> list[str]:
        """What is wrong with the values that this service would read from the environment."""
        try:
            cls()
        except ValidationError as error:
            return [cls._mistake(detail) for detail in error.errors()]
        return []

    @classmethod
    def _mistake(cls, detail: ErrorDetails) -> str:
        name = str(detail["loc"][0]) if detail["loc"] else ""
        variable = cls.prefix() + name.upper() if name else cls.prefix() + "*"
        rule = _JSON_RULES.get(detail["type"], detail["msg"].removeprefix("Value error, "))
        return f"{variable}: {rule}"


class _Environment(EnvSettingsSource):
    """Leaves a list or table that is no JSON to validation, which reports it among the others."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


def mistakes(*services: type[ServiceSettings]) -> list[str]:
    """Every mistake that these services find in the environment, each once."""
    known = _SHARED_VARIABLES.union(*(service.variables() for service in services))
    prefixes = {service.prefix() for service in services}
    others = tuple(prefix for prefix in _PREFIXES if prefix not in prefixes)
    unknown = [
        f"{variable}: no such setting{_suggestion(variable, known)}"
        for variable in sorted(os.environ)
        if variable.startswith("VEDETTE_")
        and not variable.startswith(others)
        and variable not in known
    ]
    return unknown + [wrong for service in services for wrong in service.wrong_values()]


def settings_class(service: str) -> type[ServiceSettings]:
    """The settings class of a service, by the name of its package."""
    module = importlib.import_module(f"{service}.settings")
    [found] = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, ServiceSettings)
        and value.__module__ == module.__name__
    ]
    return found


def _suggestion(variable: str, known: frozenset[str]) -> str:
    close = difflib.get_close_matches(variable, known, n=1)
    return f"; did you mean {close[0]}?" if close else "; see docs/settings.md"
