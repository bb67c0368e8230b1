"""What a start has to import."""

from __future__ import annotations

import subprocess
import sys

# The application, and what serves a packed model.
MODULES = "inference.app, inference.models.loading, inference.backends.native.prepare"


def test_a_packed_model_needs_no_heavy_library():
    """Importing them takes longer than all the rest of a start."""
    program = (
        f"import sys, {MODULES}; print([name for name in sys.modules "
        "if name in ('torch', 'transformers', 'bitsandbytes', 'huggingface_hub')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "[]" == done.stdout.strip()
