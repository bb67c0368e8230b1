"""What the guard does is written in policy files: validated, named by digest, reloaded live."""

from __future__ import annotations

from .document import PolicyDocument
from .reading import PolicyError, read_folder
from .store import PolicyStore, Reload

__all__ = ["PolicyDocument", "PolicyError", "PolicyStore", "Reload", "read_folder"]
