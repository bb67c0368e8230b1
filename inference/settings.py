"""What the inference service can be told, in `VEDETTE_INFERENCE_*`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from servicekit.settings import Port, ServiceSettings

__all__ = ["InferenceSettings"]

_MIB = 1024 * 1024


class InferenceSettings(ServiceSettings):
    """Settings of the inference service."""

    model_config = SettingsConfigDict(env_prefix="VEDETTE_INFERENCE_")

    port: Port = Field(50053, description="Port to listen on; 0 picks a free one.")
    backend: Literal["torch", "weightless"] = Field(
        "torch",
        description="`torch` runs a model; `weightless` repeats the last user message, for tests.",
    )
    model: str = Field(
        "smollm2-135m-instruct",
        pattern=r"[^,\s]",
        description="Model to serve: the embedded default, a local folder, or a model hub's id. "
        "Several are separated by commas; the first answers when a request names none.",
    )
    allow_download: bool = Field(
        True, description="Whether a model that is not on this machine may be fetched at start."
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="`auto`, `cpu`, `cuda` or `cuda:1`.",
    )
    quantization: Literal["auto", "nf4", "int8", "none"] = Field(
        "auto", description="How weights are held; `auto` takes what is fastest on the device."
    )
    cuda_graphs: bool = Field(
        False,
        description="Whether a GPU replays steps that only decode as CUDA graphs. Tested on a CPU "
        "alone: measure it before you rely on it.",
    )
    threads: int = Field(
        0,
        ge=0,
        le=1024,
        description="Threads that compute on a CPU; 0 takes one for each core that the process "
        "may use, as far as its container's quota goes.",
    )
    cache_bytes: int = Field(
        1024 * _MIB, ge=_MIB, description="Memory for keys and values of each model, in bytes."
    )
    max_context_length: int = Field(
        8192, ge=16, description="Most tokens of prompt and answer together, if the model allows."
    )
    max_new_tokens: int = Field(2048, ge=1, description="Most tokens that one answer may have.")
    default_new_tokens: int = Field(
        512, ge=1, description="Most tokens of an answer whose request does not say."
    )
    max_running: int = Field(
        64, ge=1, le=1024, description="Requests that are computed at the same time."
    )
    max_waiting: int = Field(
        256, ge=1, description="Requests in the queue; one more is refused with RESOURCE_EXHAUSTED."
    )
    max_step_tokens: int = Field(
        512, ge=16, description="Tokens computed in one step; prompts are cut to fit."
    )
    prompt_share: float = Field(
        1.5,
        gt=0,
        le=100,
        description="How long a prompt may take in a step that also decodes, as a multiple of what "
        "the answers take alone; less holds up less. Several prompts get up to four times that.",
    )
    messages_per_s: float = Field(
        150.0,
        gt=0,
        description="Pieces of answers sent each second to all streams together; beyond it, "
        "tokens of one stream travel together.",
    )
    step_limit_s: float = Field(
        60.0, gt=0, description="A step that takes longer hangs: health reports NOT_SERVING."
    )
    reader_limit_s: float = Field(
        30.0, gt=0, description="A caller that reads nothing for so long is cancelled, in seconds."
    )
    weightless_text: str = Field(
        "", description="What the weightless backend recites; empty repeats the user."
    )
    weightless_delay_ms: float = Field(
        0.0, ge=0, le=60_000, description="How long a step of the weightless backend takes."
    )

    @property
    def models(self) -> tuple[str, ...]:
        """The models to serve, each once, the default first."""
        names = (name.strip() for name in self.model.split(","))
        return tuple(dict.fromkeys(name for name in names if name))
