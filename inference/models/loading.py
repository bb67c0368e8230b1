"""From a model's name to something the engine can run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from inference.backends.native import prepare as native
from inference.models.card import ModelCard
from inference.models.chat import ChatTokenizer
from inference.models.errors import ModelUnavailableError
from inference.models.location import locate
from inference.models.served import ServedModel

if TYPE_CHECKING:
    from pathlib import Path

    from inference.backends.prepared import Prepared
    from inference.models.options import LoadOptions


__all__ = ["load", "read_tokenizer"]


def load(reference: str, options: LoadOptions) -> ServedModel:
    """Load a model by the embedded default's name, a folder, or an id of the model hub.

    Raises:
        ModelUnavailableError: if it cannot be had, or does not run the way that is asked for.
    """
    location = locate(
        reference, models_dir=options.models_dir, allow_download=options.allow_download
    )
    prepared = native.prepare(location.folder, options) or _by_torch(location.folder, options)
    tokenizer = read_tokenizer(location.folder)
    runner = prepared.runner
    context_length = min(prepared.context_length, runner.num_blocks * runner.block_size)
    card = ModelCard(
        name=location.name,
        revision=location.revision,
        license=location.license,
        quantization=prepared.quantization,
        context_length=context_length,
        max_new_tokens=min(options.max_new_tokens, context_length - 1),
        parameters=prepared.parameters,
        weight_bytes=prepared.weight_bytes,
        cache_bytes=runner.cache_bytes,
        device=prepared.device,
        vocabulary_size=prepared.vocabulary_size,
    )
    return ServedModel(
        card=card,
        tokenizer=tokenizer,
        runner=runner,
        default_new_tokens=min(options.default_new_tokens, card.max_new_tokens),
    )


def _by_torch(folder: Path, options: LoadOptions) -> Prepared:
    # Torch and transformers take seconds to import; a packed model needs neither.
    from inference.backends.prepare import prepare  # noqa: PLC0415

    return prepare(folder, options)


def read_tokenizer(folder: Path) -> ChatTokenizer:
    """The tokenizer and chat template of a model's folder.

    Raises:
        ModelUnavailableError: if there is no `tokenizer.json`.
    """
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise ModelUnavailableError(f"{folder} has no tokenizer.json; only fast tokenizers work")
    settings = _read_json(folder / "tokenizer_config.json")
    template = folder / "chat_template.jinja"
    return ChatTokenizer(
        backend=Tokenizer.from_file(str(file)),
        template=template.read_text() if template.is_file() else settings.get("chat_template"),
        end_ids=_end_ids(folder),
        template_tokens={
            name: _token_text(value) for name, value in settings.items() if name.endswith("_token")
        },
    )


def _end_ids(folder: Path) -> frozenset[int]:
    """The tokens that end an answer: what says how to generate goes before the configuration."""
    generation, config = (
        _read_json(folder / name) for name in ("generation_config.json", "config.json")
    )
    end = (generation or config).get("eos_token_id")
    return frozenset(end if isinstance(end, list) else [end] if end is not None else [])


def _read_json(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    return content


def _token_text(value: Any) -> str:
    """A token of `tokenizer_config.json`: its text, or an object that holds it."""
    return str(value["content"] if isinstance(value, dict) else value or "")
