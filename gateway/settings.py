"""What the gateway can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from servicekit.certificates import CertificateFiles
from servicekit.settings import Port, RedisUrl, ServiceSettings

__all__ = ["GatewaySettings"]

PolicyName = Annotated[str, Field(min_length=1, max_length=64)]


class GatewaySettings(ServiceSettings):
    """`VEDETTE_GATEWAY_*`."""

    model_config = SettingsConfigDict(env_prefix="VEDETTE_GATEWAY_")

    port: Port = Field(50051, description="Port to listen on; 0 picks a free one.")
    guardrails_target: str = Field(
        "127.0.0.1:50052",
        min_length=1,
        description="Where guardrails listens, as a gRPC target: host:port, unix:/path, dns:///name:port.",
    )
    inference_target: str = Field(
        "127.0.0.1:50053",
        min_length=1,
        description="Where inference listens, as a gRPC target.",
    )
    access_file: Path | None = Field(
        None,
        description=(
            "TOML file of roles, tenants and credentials, read again when it changes. Without "
            "one there are no credentials, and the gateway listens on loopback only."
        ),
    )
    redis_url: RedisUrl | None = Field(
        None,
        description=(
            "Redis that gateways share limits, budgets and caches through; without one each "
            "gateway keeps them in memory."
        ),
    )
    redis_timeout_s: float = Field(
        0.25,
        gt=0,
        le=60,
        description="Seconds that Redis has for an answer before it counts as lost.",
    )
    redis_loss_factor: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of each limit that one gateway grants by itself while Redis is lost.",
    )
    assumed_new_tokens: int = Field(
        1_024,
        ge=1,
        description=(
            "Tokens set aside for a request that does not say how many it wants; where a budget "
            "applies it gets no more."
        ),
    )
    max_in_flight: int = Field(
        512, ge=2, description="Requests that may be under way at once, of all tenants together."
    )
    queue_target_s: float = Field(
        0.5,
        gt=0,
        description="Wait in the model's queue beyond which the gateway admits fewer requests.",
    )
    breaker_failures: int = Field(
        5, ge=1, description="Failures in a row after which a service behind is left alone."
    )
    breaker_reset_s: float = Field(
        1.0, gt=0, description="Seconds until a service that was left alone is probed."
    )
    fallback_models: tuple[str, ...] = Field(
        (),
        description=(
            "Models that stand in, in order, when the one asked for is down: NAME, or "
            "NAME@TARGET for one at another inference service; a JSON list."
        ),
    )
    hedge_after_s: float | None = Field(
        None,
        gt=0,
        description="Ask a second guard about a prompt after this long; none asks only one.",
    )
    answer_cache_ttl_s: float | None = Field(
        None,
        gt=0,
        description=(
            "Seconds that answers to deterministic requests are kept and shared within their "
            "tenant; none keeps none. What is kept is the model's text before its check."
        ),
    )
    answer_cache_cadence: bool = Field(
        False, description="Replay a kept answer in the cadence of the original, not at once."
    )
    verdict_cache_ttl_s: float | None = Field(
        None, gt=0, description="Seconds that verdicts on prompts are kept; none keeps none."
    )
    cache_max_chars: int = Field(
        16_000_000, ge=1, description="Characters that each cache of one gateway holds in memory."
    )
    speculate: bool = Field(
        False,
        description=(
            "Begin streamed answers while the prompt is being checked, where the policy does "
            "not rewrite prompts; nothing is shown before the verdict."
        ),
    )
    speculate_max_blocked: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of blocked prompts above which answers are not begun early.",
    )
    audit_dir: Path | None = Field(
        None, description="Folder for decision records as JSON lines; none writes no files."
    )
    audit_retention_days: float = Field(
        30.0, gt=0, description="Days that decision records are kept."
    )
    audit_retention_by_policy: dict[str, float] = Field(
        {}, description="Days that records under certain policies are kept, as a JSON object."
    )
    audit_in_memory: int = Field(
        10_000, ge=1, description="Decision records that one gateway keeps in memory at most."
    )
    upstream_ca: Path | None = Field(
        None,
        description=(
            "Authorities in PEM that sign the certificates of guardrails and inference; with it "
            "both are called over TLS, and shown this gateway's own certificate."
        ),
    )
    policies: tuple[PolicyName, ...] = Field(
        ("default",),
        min_length=1,
        description=(
            "Guardrails policies that callers may name, as a JSON list; the first applies to "
            "requests that name none."
        ),
    )
    max_prompt_chars: int = Field(
        400_000, ge=1, description="Characters that all messages of a request may have together."
    )
    monitor_every_s: float | None = Field(
        None,
        gt=0,
        le=86400,
        description="Seconds between rounds of the quality probes; without it there are none.",
    )
    max_messages: int = Field(1_000, ge=1, description="Messages that a request may have.")
    check_timeout_s: float = Field(
        10.0,
        gt=0,
        le=600,
        description="Longest that checking a prompt may take, in seconds.",
    )

    @property
    def wants_catalogue(self) -> bool:
        """Whether some part needs to know policies and models in advance."""
        return bool(self.speculate or self.answer_cache_ttl_s or self.verdict_cache_ttl_s)

    @property
    def upstream_certificates(self) -> CertificateFiles | None:
        """How this gateway shows itself to the services behind it, if they speak TLS."""
        if self.upstream_ca is None or self.tls_cert is None or self.tls_key is None:
            return None
        return CertificateFiles(
            certificate=self.tls_cert, key=self.tls_key, authority=self.upstream_ca
        )

    @model_validator(mode="after")
    def _shows_itself(self) -> Self:
        if self.upstream_ca is not None and self.tls_cert is None:
            raise ValueError("VEDETTE_GATEWAY_UPSTREAM_CA needs TLS_CERT and TLS_KEY")
        return self

    @model_validator(mode="after")
    def _strangers_need_credentials(self) -> Self:
        if self.access_file is None and not self.is_loopback:
            raise ValueError(
                "VEDETTE_GATEWAY_HOST is not a loopback address and there are no credentials; "
                "set VEDETTE_GATEWAY_ACCESS_FILE, or listen on 127.0.0.1"
            )
        return self
