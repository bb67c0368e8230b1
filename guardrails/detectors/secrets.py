"""Credentials that must not travel in plain text.

Covered: private keys in PEM form (up to 8,000 characters); JSON web tokens; credentials in URLs;
keys with a recognisable form of AWS, GitHub, GitLab, Google, Slack, Stripe, OpenAI, Anthropic,
Hugging Face, npm, PyPI and SendGrid; bearer tokens; values assigned to names such as `password`,
`api_key` or `client_secret`.
Not covered: secrets without a form or a name beside them; passwords said in prose; keys split
over lines or encoded; other vendors.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections import Counter

from guardrails.rules import Rule

from .rules import RuleDetector

__all__ = ["detector"]

_END = r"(?![A-Za-z0-9_-])"
_BEGIN = r"(?<![A-Za-z0-9_-])"

_PLACEHOLDERS = (
    "[",
    "example",
    "changeme",
    "your",
    "xxxx",
    "****",
    "....",
    "<",
    "${",
    "{{",
    "none",
)


def detector() -> RuleDetector:
    """The detector of credentials."""
    return RuleDetector("secrets", _RULES, timed=False)


def _is_jwt(text: str) -> bool:
    head = text.split(".", 1)[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (binascii.Error, ValueError):
        return False
    return isinstance(header, dict) and "alg" in header


def _is_random(text: str) -> bool:
    """Whether the characters look drawn by lot: keys do, words and repeated letters do not."""
    counts = Counter(text)
    bits = -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())
    return bits >= 3.0


def _is_assigned_secret(text: str) -> bool:
    text = text.rstrip(".,;:!?)")
    lowered = text.lower()
    if any(lowered.startswith(word) for word in _PLACEHOLDERS):
        return False
    return len(set(text)) >= 5 and (not text.isalpha() or _is_random(text))


def _key(name: str, pattern: str) -> Rule:
    return Rule(
        id=f"secrets.{name}",
        category="API_KEY",
        pattern=f"{_BEGIN}{pattern}{_END}",
        accept=_is_random,
        score=0.95,
    )


_RULES = (
    Rule(
        id="secrets.private_key",
        category="PRIVATE_KEY",
        pattern=(
            r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
            r"[^-]{16,8000}-----END (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
        ),
        score=1.0,
    ),
    Rule(
        id="secrets.jwt",
        category="JWT",
        pattern=(
            rf"{_BEGIN}eyJ[A-Za-z0-9_-]{{8,1000}}\.[A-Za-z0-9_-]{{4,4000}}"
            rf"\.[A-Za-z0-9_-]{{8,1000}}{_END}"
        ),
        accept=_is_jwt,
        score=0.95,
    ),
    Rule(
        id="secrets.url_credentials",
        category="URL_CREDENTIALS",
        pattern=(
            r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{1,15}://[^\s/:@?#\[\]]{1,64}:"
            r"[^\s/@?#\[\]]{1,128}@[A-Za-z0-9.-]{1,253}(?:[:/?][^\s\"'<>]{0,256})?(?![^\s\"'<>])"
        ),
        score=0.95,
    ),
    _key("aws_access_key", "(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}"),
    _key("github", "gh[pousr]_[A-Za-z0-9]{36,251}"),
    _key("github_fine_grained", "github_pat_[A-Za-z0-9_]{82}"),
    _key("gitlab", "glpat-[A-Za-z0-9_-]{20,64}"),
    _key("google", "AIza[A-Za-z0-9_-]{35}"),
    _key("slack", "xox[abeprs]-[A-Za-z0-9-]{10,250}"),
    _key("stripe", "[rsp]k_(?:live|test)_[A-Za-z0-9]{16,128}"),
    _key("openai", "sk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,200}"),
    _key("anthropic", "sk-ant-[A-Za-z0-9_-]{20,200}"),
    _key("huggingface", "hf_[A-Za-z0-9]{30,64}"),
    _key("npm", "npm_[A-Za-z0-9]{36}"),
    _key("pypi", "pypi-[A-Za-z0-9_-]{50,250}"),
    _key("sendgrid", r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    Rule(
        id="secrets.bearer",
        category="API_KEY",
        pattern=rf"(?<!\w)[Bb]earer {{1,3}}(?P<value>[A-Za-z0-9._~+/-]{{20,500}}={{0,2}}){_END}",
        accept=_is_random,
        score=0.85,
    ),
    Rule(
        id="secrets.assignment",
        category="PASSWORD",
        pattern=(
            r"(?<![A-Za-z0-9])(?i:pass(?:word|wd|phrase)|pwd|secret|api[_-]?key|access[_-]?key"
            r"|secret[_-]?key|client[_-]?secret|auth[_-]?token|access[_-]?token)"
            r"[\"']?[ \t]{0,3}(?:=|:|:=|=>)[ \t]{0,3}[\"']?(?P<value>[^\s\"'`,;<>]{6,512})"
            r"(?![^\s\"'`,;<>])"
        ),
        accept=_is_assigned_secret,
        score=0.8,
    ),
)
