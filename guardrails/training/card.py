"""The model card: what the model is, what it was made from, what it catches and what it misses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .sources import DESCRIBED, FILES, WHEELS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["card"]

_ABOUT = """\
# Model card: the guard model

MiniLM's six layers, in each of which the eight most important of twelve attention heads and half of
the neurons were kept (17.8M parameters), with eight outputs and one forward pass for all:
`direct` (an attack by a user), `planted` (an order inside a document or a tool result),
and the topics hate, harassment, violence, self-harm, sexual and illicit.
Each output weighs the tokens by itself.
INT8 weights with one scale a channel, ONNX, run by onnxruntime on one thread.
A linear model over hashed runs of characters and words adds its logit to the encoder's:
it knows the words of other languages that the encoder's vocabulary cuts to pieces.

Use it to flag texts before and after a language model, beside rules; never as the only defence.
It reads English best.
It does not judge whole conversations, images, or what a reader would have to decipher.

## Scores
A score is a false-positive budget, not a probability:
at 0.3, 0.5 and 0.9 about five, one and a tenth of one in a hundred harmless calibration texts score
higher, and in each family of them that is large enough to tell at most twice as many.
Users and documents have budgets of their own; the six topics share one.
Texts of up to 200 characters have thresholds of their own too: the harmless texts that score high
are persona prompts and pages, and with their thresholds short attacks would be missed.
Thresholds were set on the INT8 model, on one half of the held-out harmless texts;
the other half is measured below.

"""

_USE = """\
## Presets
| threshold | harmless texts flagged, about | for |
|---|---|---|
| 0.3 | 5 % | review by people, high stakes |
| 0.5 | 1 % | the usual |
| 0.9 | 0.1 % | where a wrong block costs more than a miss |

In a policy: `attacks: {action: block, threshold: 0.5, roles: [user, assistant]}` for users,
`planted: {action: block, threshold: 0.5, roles: [tool, document]}` for documents,
`topics: {action: block, threshold: 0.9, review_from: 0.5}` for the topics: what scores below 0.5 is
accepted, from 0.5 on a person looks at it, from 0.9 on it is rejected; `categories` gives a topic
bands of its own.
`action: allow` lets everything pass and only reports scores and findings.

## Topics in other taxonomies
| here | MLCommons AILuminate | OpenAI moderation |
|---|---|---|
| HATE | hate | hate, hate/threatening |
| HARASSMENT | defamation in part | harassment, harassment/threatening |
| VIOLENCE | violent crimes, indiscriminate weapons | violence, violence/graphic, illicit/violent |
| SELF_HARM | suicide and self-harm | self-harm, self-harm/intent, self-harm/instructions |
| SEXUAL | sexual content, sex-related crimes | sexual |
| ILLICIT | non-violent crimes, indiscriminate weapons | illicit, illicit/violent |

Child sexual exploitation, privacy, intellectual property and specialised advice have no head.

"""

_MADE = """\
## Made from
| input | licence | rows that train | SHA-256 |
|---|---|---|---|
"""


def card(
    figures: Mapping[str, Any],
    *,
    inputs: Mapping[str, str],
    counts: Mapping[str, int],
    seed: int,
    teacher: str = "",
) -> str:
    """The card as Markdown."""
    parts = [_ABOUT, _USE, _MADE]
    for wheel in (*WHEELS, *DESCRIBED):
        what = f"{wheel.name} {wheel.version} (PyPI; {wheel.use})"
        rows = str(counts.get(wheel.name, "none"))
        parts.append(f"| {what} | {wheel.licence} | {rows} | `{wheel.sha256}` |\n")
    for source in FILES:
        rows = "held out" if source.held_out else str(counts.get(source.name, 0))
        digest = inputs.get(source.name) or "not present"
        parts.append(f"| {source.name} | {source.licence} | {rows} | `{digest}` |\n")
    parts.append(
        f"\nSynthetic rows come from the phrase grammars of this repository, seed {seed}.\n"
    )
    parts.append("Rows that train and nearly repeat a held-out row were dropped.\n")
    if teacher:
        parts.append(f"The teacher is the model `{teacher}`.\n")
    for title, table in figures.items():
        parts.append(f"\n## {title[0].upper()}{title[1:]}\n")
        parts.append(_table(table))
    return "".join(parts)


def _table(rows: Mapping[str, Any]) -> str:
    if not rows:
        return "Not measured.\n"
    first = next(iter(rows.values()))
    if not isinstance(first, dict):
        return "".join(f"- {name}: {_cell(value)}\n" for name, value in rows.items())
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    lines = ["| | " + " | ".join(columns) + " |\n", "|---" * (len(columns) + 1) + "|\n"]
    for name, row in rows.items():
        cells = " | ".join(_cell(row[column]) if column in row else "" for column in columns)
        lines.append(f"| {name} | {cells} |\n")
    return "".join(lines)


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
