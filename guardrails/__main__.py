"""Runs guardrails: `python -m guardrails`, or `python -m guardrails check` on texts."""
# ruff: noqa: PLC0415 - each command loads only what it needs

from __future__ import annotations

import os
import sys

from servicekit.polling import WITHOUT_HANDOVER


def _main() -> int:
    if sys.argv[1:2] == ["check"]:
        from guardrails import check
        from servicekit import logs

        logs.configure(service="guardrails", level="error")
        return check.main(sys.argv[2:])
    os.environ.setdefault("GRPC_EXPERIMENTS", WITHOUT_HANDOVER)
    from guardrails.app import GuardrailsApp
    from guardrails.settings import GuardrailsSettings
    from servicekit.process import main

    return main(GuardrailsSettings, GuardrailsApp)


sys.exit(_main())
