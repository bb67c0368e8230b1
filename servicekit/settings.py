"""Settings come from the environment, are parsed once into a frozen value, and fail loudly.

Each service derives its own class with its own prefix, `VEDETTE_<SERVICE>_`. All mistakes are
reported together, and a variable that no one reads is a mistake.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as PydanticSettingsError

from servicekit.certificates import CertificateFiles
from vedette import home

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic_core import ErrorDetails

__all__ = ["Port", "RedisUrl", "ServiceSettings", "SettingsError"]


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

_SERVICES = ("GATEWAY", "GUARDRAILS", "INFERENCE")
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
        super().__init__(f"{len(mistakes)} wrong setting(s):\n{lines}")


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
        mistakes = list(cls._unknown_variables(os.environ))
        try:
            settings = cls()
        except ValidationError as error:
            mistakes += [cls._mistake(detail) for detail in error.errors()]
        except PydanticSettingsError as error:
            mistakes.append(str(error))
        if mistakes:
            raise SettingsError(mistakes)
        return settings

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
    def _unknown_variables(cls, environ: Mapping[str, str]) -> Iterator[str]:
        known = {cls.prefix() + name.upper() for name in cls.model_fields} | _SHARED_VARIABLES
        others = tuple(
            f"VEDETTE_{service}_" for service in _SERVICES if f"VEDETTE_{service}_" != cls.prefix()
        )
        for variable in sorted(environ):
            ours = variable.startswith("VEDETTE_") and not variable.startswith(others)
            if ours and variable not in known:
                yield f"{variable}: no such setting{_suggestion(variable, known)}"

    @classmethod
    def _mistake(cls, detail: ErrorDetails) -> str:
        name = str(detail["loc"][0]) if detail["loc"] else ""
        variable = cls.prefix() + name.upper() if name else cls.prefix() + "*"
        return f"{variable}: {detail['msg'].removeprefix('Value error, ')}"


def _suggestion(variable: str, known: set[str] | frozenset[str]) -> str:
    close = difflib.get_close_matches(variable, known, n=1)
    return f"; did you mean {close[0]}?" if close else "; see docs/settings.md"
