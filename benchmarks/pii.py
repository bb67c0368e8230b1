"""Precision, recall and F1 by type of personal data, and documents a second.

    scripts/bench pii [--data DIR] [--presidio PYTHON] [--json FILE]

Reads a generated corpus, and from DIR (`../shared/data/dev` if it is there) every `pii_*.jsonl`
whose labels are spans of types that the rules know. A finding is right if it overlaps a span of
its type. With `--presidio`, an interpreter that has presidio-analyzer and en-core-web-sm, Presidio
reads the same texts in the same run; types that it does not know are left out of its figures.
Processor time, one thread each, the rules of `pii` and the detector of `names` apart; the latter is
measured if `vedette[guardrails-names]` is installed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.pii_corpus import corpus
from guardrails.detectors import NamesDetector, RuleDetector, builtin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardrails.findings import Match

_DEFAULT_DATA = Path("../shared/data/dev")
_THRESHOLD = 0.5

# Our categories by the types of the corpora, which use Presidio's names.
_CATEGORIES = {
    "EMAIL_ADDRESS": {"EMAIL"},
    "PHONE_NUMBER": {"PHONE"},
    "TR_PHONE_NUMBER": {"PHONE"},
    "PH_MOBILE_NUMBER": {"PHONE"},
    "CREDIT_CARD": {"CREDIT_CARD"},
    "IBAN_CODE": {"IBAN"},
    "PERSON": {"PERSON"},
    "ORGANIZATION": {"ORGANIZATION"},
    "LOCATION": {"LOCATION"},
    "GPE": {"LOCATION"},
    "US_SSN": {"US_SSN"},
    "IP_ADDRESS": {"IP_ADDRESS"},
    "MAC_ADDRESS": {"MAC_ADDRESS"},
    "CRYPTO": {"CRYPTO_WALLET"},
    "ABA_ROUTING_NUMBER": {"BANK_ACCOUNT"},
    "US_ITIN": {"TAX_ID"},
    "US_NPI": {"HEALTH_ID"},
    "US_MBI": {"HEALTH_ID"},
    "MEDICAL_LICENSE": {"HEALTH_ID"},
    "UK_NHS": {"HEALTH_ID"},
    **{
        kind: {"NATIONAL_ID", "TAX_ID"}
        for kind in (
            "AU_ABN", "AU_ACN", "CA_SIN", "DE_TAX_ID", "ES_NIE", "ES_NIF",
            "FI_PERSONAL_IDENTITY_CODE", "IN_AADHAAR", "IN_GSTIN", "IN_PAN", "IT_VAT_CODE",
            "IT_FISCAL_CODE", "KR_BRN", "KR_RRN", "PL_PESEL", "SE_ORGANISATIONSNUMMER",
            "SE_PERSONNUMMER", "SG_NRIC_FIN", "SG_UEN", "TH_TNIN", "TR_NATIONAL_ID", "UK_NINO",
            "ZA_ID_NUMBER",
        )
    },
}  # fmt: skip


def rows_of(folder: Path | None) -> dict[str, list[dict[str, Any]]]:
    """Corpora by name."""
    found = {"generated": corpus(2000)}
    for path in sorted(folder.glob("pii_*.jsonl")) if folder else ():
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        rows = [row for row in rows if isinstance(row["label"], list)]
        if any(span["type"] in _CATEGORIES for row in rows for span in row["label"]):
            found[path.stem] = rows
    return found


def by_rules(texts: list[str]) -> tuple[list[list[dict[str, Any]]], float]:
    """What our rules find, by our categories, and the seconds it took."""
    [rules] = [each for each in builtin() if isinstance(each, RuleDetector) and each.name == "pii"]
    start_s = time.process_time()
    found = [_spans(rules.open().push(text, last=True, timeout_s=60)) for text in texts]
    return found, time.process_time() - start_s


def by_names(texts: list[str]) -> tuple[list[list[dict[str, Any]]], float]:
    """What the detector of names finds in the windows that it would be asked about, and seconds."""
    [detector] = [each for each in builtin() if isinstance(each, NamesDetector)]
    if detector.missing:
        return [[] for _ in texts], 0.0
    reader = detector.model.load()
    start_s = time.process_time()
    found = []
    for text in texts:
        scan = detector.open()
        scan.push(text, last=True, timeout_s=60)
        answers = [(number, reader.scores(window)) for number, window in scan.pending()]
        found.append([one for answer in answers for one in _spans(scan.resolve(*answer))])
    return found, time.process_time() - start_s


def _spans(matches: Iterable[Match]) -> list[dict[str, Any]]:
    return [
        {"start": match.start, "end": match.end, "type": match.category}
        for match in matches
        if match.score >= _THRESHOLD
    ]


def presidio(python: str, texts: list[str]) -> tuple[list[list[dict[str, Any]]], float]:
    """What Presidio finds, by its own types, and the seconds it took."""
    command = [python, str(Path(__file__).with_name("presidio_peer.py"))]
    done = subprocess.run(
        command, input=json.dumps({"texts": texts}), capture_output=True, text=True, check=True
    )
    answer = json.loads(done.stdout)
    return answer["found"], answer["seconds"]


def scores(
    rows: list[dict[str, Any]], found: list[list[dict[str, Any]]], *, translated: bool
) -> dict[str, dict[str, float]]:
    """Precision, recall and F1 by type. Rows that test one type count for that type alone."""
    right, wrong, missed = Counter[str](), Counter[str](), Counter[str]()
    types = {span["type"] for row in rows for span in row["label"]} & set(_CATEGORIES)
    for row, spans in zip(rows, found, strict=True):
        tested = {row["meta"]["entity"]} if row.get("meta", {}).get("entity") else types
        for kind in tested & types:
            names = _CATEGORIES[kind] if translated else {kind, _ALIASES.get(kind, kind)}
            gold = [span for span in row["label"] if span["type"] == kind]
            mine = [span for span in spans if span["type"] in names]
            right[kind] += sum(any(_overlap(one, other) for other in mine) for one in gold)
            missed[kind] += sum(not any(_overlap(one, other) for other in mine) for one in gold)
            others = [span for span in row["label"] if span["type"] in _CATEGORIES]
            wrong[kind] += sum(not any(_overlap(one, other) for other in others) for one in mine)
    return {kind: _figures(right[kind], wrong[kind], missed[kind]) for kind in sorted(types)}


_ALIASES = {
    "TR_PHONE_NUMBER": "PHONE_NUMBER",
    "PH_MOBILE_NUMBER": "PHONE_NUMBER",
    "GPE": "LOCATION",
}


def _overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return bool(one["start"] < other["end"] and other["start"] < one["end"])


def _figures(right: int, wrong: int, missed: int) -> dict[str, float]:
    precision = right / (right + wrong) if right + wrong else 0.0
    recall = right / (right + missed) if right + missed else 0.0
    total = precision + recall
    return {
        "precision": round(precision, 3),
        "recall": round(recall, 3),
        "f1": round(2 * precision * recall / total, 3) if total else 0.0,
        "values": right + missed,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, default=_DEFAULT_DATA)
    parser.add_argument("--presidio", help="python of an environment that has presidio-analyzer")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    figures: dict[str, Any] = defaultdict(dict)
    by_rules(["warm up"])
    for name, rows in rows_of(options.data if options.data.is_dir() else None).items():
        texts = [row["text"] for row in rows]
        found, seconds = by_rules(texts)
        speed = {"vedette, rules": len(texts) / seconds}
        names, seconds = by_names(texts)
        if seconds:
            speed["vedette, names"] = len(texts) / seconds
        found = [one + other for one, other in zip(found, names, strict=True)]
        by_type = {"vedette": scores(rows, found, translated=True)}
        if options.presidio:
            found, seconds = presidio(options.presidio, texts)
            by_type["presidio"] = scores(rows, found, translated=False)
            speed["presidio"] = len(texts) / seconds
        figures[name] = {"by_type": by_type, "documents_per_s": speed}
        print(
            f"{name}: {len(texts)} documents,", json.dumps({k: round(v) for k, v in speed.items()})
        )
        for kind, mine in by_type["vedette"].items():
            peer = by_type.get("presidio", {}).get(kind, {})
            print(
                f"  {kind:28} n={mine['values']:<5} F1 {mine['f1']:.3f} "
                f"(P {mine['precision']:.3f} R {mine['recall']:.3f})"
                + (f"   presidio F1 {peer['f1']:.3f}" if peer else "")
            )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
