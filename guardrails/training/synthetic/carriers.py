"""Documents and tool results to plant something in; the same seed gives the same document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from .grammar import Grammar

__all__ = ["BUILDERS", "code", "mail", "page", "prose", "records", "splice", "table"]

# A builder makes a document; with a payload, the same document with the payload in it.
Builder = "Callable[[Random, Grammar, str], str]"


def splice(parts: Sequence[str], payload: str, rng: Random, *, joint: str = " ") -> str:
    """Put a payload at the start, the end, or between two parts."""
    at = rng.choice((0, len(parts), rng.randint(0, len(parts)), rng.randint(0, len(parts))))
    gap = rng.choice((joint, joint, "\n", "\n\n"))
    before, after = joint.join(parts[:at]), joint.join(parts[at:])
    if not payload:
        return before + joint + after if before and after else before + after
    return (before + gap if before else "") + payload + (gap + after if after else "")


def _sentences(rng: Random, grammar: Grammar, low: int, high: int) -> list[str]:
    return [grammar.expand("sentence", rng) for _ in range(rng.randint(low, high))]


def prose(rng: Random, grammar: Grammar, payload: str) -> str:
    """Plain paragraphs."""
    return splice(_sentences(rng, grammar, 2, 9), payload, rng)


def mail(rng: Random, grammar: Grammar, payload: str) -> str:
    """A mail with headers."""
    head = f"From: {grammar.expand('address', rng)}\nSubject: {grammar.expand('subject', rng)}\n"
    greeting = f"{rng.choice(('Hi', 'Dear', 'Hello'))} {grammar.expand('first', rng)},\n"
    close = (
        f"\n{rng.choice(('Best', 'Thanks', 'Regards', 'Cheers'))},\n{grammar.expand('name', rng)}"
    )
    body = splice(_sentences(rng, grammar, 1, 6), payload, rng)
    return (head if rng.random() < 0.6 else "") + greeting + body + close


def page(rng: Random, grammar: Grammar, payload: str) -> str:
    """A piece of a web page."""
    tags = ("p", "li", "h2", "div", "td", "span")
    parts = []
    for sentence in _sentences(rng, grammar, 2, 7):
        tag = rng.choice(tags)
        parts.append(f"<{tag}>{sentence}</{tag}>")
    if payload and rng.random() < 0.6:
        tag = rng.choice(tags)
        payload = f"<{tag}>{payload}</{tag}>"
    return splice(parts, payload, rng, joint=rng.choice(("", "\n")))


def records(rng: Random, grammar: Grammar, payload: str) -> str:
    """JSON from a tool, or the same facts as `key: value` lines."""
    flat = [_record(rng, grammar) for _ in range(rng.randint(1, 4))]
    target, key = rng.choice(flat), grammar.expand("key", rng)
    value = grammar.expand("sentence", rng)
    mixed = rng.random() < 0.5
    if payload:
        value = f"{value} {payload}" if mixed else payload
    target[key] = value
    form = rng.random()
    if form < 0.6:
        whole: object = flat if len(flat) > 1 else flat[0]
        return json.dumps(whole, ensure_ascii=False, indent=rng.choice((None, 2)))
    return "\n\n".join("\n".join(f"{k}: {v}" for k, v in record.items()) for record in flat)


def _record(rng: Random, grammar: Grammar) -> dict[str, object]:
    fields: dict[str, object] = {
        "id": int(grammar.expand("number", rng)),
        "name": grammar.expand("name", rng),
        "email": grammar.expand("address", rng),
        "date": grammar.expand("date", rng),
        "amount": grammar.expand("amount", rng),
        "city": grammar.expand("city", rng),
        "url": grammar.expand("url", rng),
        "ok": True,
        "file": grammar.expand("file", rng),
        "subject": grammar.expand("subject", rng),
        "body": grammar.expand("sentence", rng),
    }
    chosen = rng.sample(sorted(fields), rng.randint(2, 6))
    return {key: fields[key] for key in chosen}


def table(rng: Random, grammar: Grammar, payload: str) -> str:
    """A table in Markdown or with commas."""
    columns = rng.sample(("name", "city", "amount", "date", "number", "product", "company"), 3)
    rows = [[grammar.expand(column, rng) for column in columns] for _ in range(rng.randint(2, 9))]
    bar = rng.random() < 0.6
    inside = rng.random() < 0.4
    if payload and inside:
        rng.choice(rows)[rng.randrange(3)] = payload
    lines = [_line(row, bar=bar) for row in [columns, *rows]]
    return splice(lines, "" if inside else payload, rng, joint="\n")


def _line(cells: Sequence[str], *, bar: bool) -> str:
    return "| " + " | ".join(cells) + " |" if bar else ",".join(cells)


def code(rng: Random, grammar: Grammar, payload: str) -> str:
    """Source code or a log, the payload in a comment, a string or a line of its own."""
    kind = rng.choice(("code_line", "code_line", "log_line"))
    lines = [grammar.expand(kind, rng) for _ in range(rng.randint(3, 10))]
    sign = rng.choice(("# ", "// ", "-- ", "/* "))
    lines.insert(rng.randint(0, len(lines)), sign + grammar.expand("comment", rng))
    form = rng.random()
    if payload and form < 0.6:
        payload = sign + payload
    elif payload and form < 0.8:
        payload = f'message = "{payload}"'
    return splice(lines, payload, rng, joint="\n")


BUILDERS: Final = (prose, prose, mail, mail, page, records, records, records, table, code)
