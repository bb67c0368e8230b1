"""What guardrails can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from servicekit.settings import Port, RedisUrl, ServiceSettings
from vedette import home

__all__ = ["GuardrailsSettings"]


class GuardrailsSettings(ServiceSettings):
    """`VEDETTE_GUARDRAILS_*`."""

    model_config = SettingsConfigDict(env_prefix="VEDETTE_GUARDRAILS_")

    port: Port = Field(50052, description="Port to listen on; 0 picks a free one.")
    policies_dir: Path | None = Field(
        None,
        description=(
            "Folder of policy files (NAME.yaml); they come over those of the package, and are "
            "read again when they change."
        ),
    )
    default_policy: str = Field(
        "default",
        min_length=1,
        max_length=64,
        description="Policy of requests that name none.",
    )
    reload_every_s: float = Field(
        2.0, gt=0, le=3600, description="Seconds between two looks at the policy files."
    )
    secret: SecretStr | None = Field(
        None,
        min_length=16,
        description=(
            "Key of hashes, pseudonyms and the vault; at least 16 characters, the same for all "
            "replicas. Without one a random key is used, and pseudonyms end with the process."
        ),
    )
    redis_url: RedisUrl | None = Field(
        None,
        description=(
            "Redis that keeps the values behind pseudonyms and the cases under review; in memory "
            "without one."
        ),
    )
    redis_timeout_s: float = Field(
        0.5,
        gt=0,
        le=60,
        description="Seconds that Redis has for an answer before it counts as lost.",
    )
    pseudonym_ttl_s: float = Field(
        3600.0,
        gt=0,
        le=30 * 86400,
        description="Seconds that the values behind pseudonyms are kept after their last use.",
    )
    reviews_per_tenant: int = Field(
        1_000,
        ge=1,
        le=100_000,
        description="Cases under review that are kept of each tenant; the oldest go first.",
    )
    reviewers: tuple[str, ...] = Field(
        (),
        description=(
            "Names in client certificates that may read and decide cases under review, as a JSON "
            "list; without any, whoever reaches this service may."
        ),
    )
    shadow_dir: Path | None = Field(
        default_factory=home.shadow_dir,
        description=(
            "Folder for what shadow policies would have done differently, which `vedette shadow` "
            "reads; `none` writes no files."
        ),
    )
    classifier_dir: Path | None = Field(
        None,
        description=(
            "Folder of another guard model: ONNX, a tokenizer and a manifest `guard.json` with "
            "their digests. Without one, the model of the package judges."
        ),
    )
    classifier_threads: int = Field(
        1, ge=1, le=64, description="Stretches of text that the classifier judges at a time."
    )
    capture_content: bool = Field(
        False,
        description=(
            "For development only: whether spans hold the texts that are checked, without personal "
            "data and secrets. Refused on anything but a loopback address."
        ),
    )
    monitor: bool = Field(
        False,
        description=(
            "Whether to count texts by writing system, and the moderation score of texts that "
            "mention groups of people."
        ),
    )
    max_text_chars: int = Field(
        1_000_000, ge=1, description="Characters that the texts of one call may have together."
    )
    max_segments: int = Field(1_000, ge=1, description="Segments that a request may have.")

    @model_validator(mode="after")
    def _captures_at_home_only(self) -> Self:
        if self.capture_content and (self.socket is not None or not self.is_loopback):
            raise ValueError(
                "CAPTURE_CONTENT is for development on one machine: it needs a loopback HOST and "
                "no SOCKET"
            )
        return self
