"""Values replaced by placeholders that only their own conversation can turn back."""

from __future__ import annotations

from .placeholders import Placeholders, Scope
from .restoring import Restorer
from .vault import MemoryVault, RedisVault, Vault, VaultConflict, VaultDown

__all__ = [
    "MemoryVault",
    "Placeholders",
    "RedisVault",
    "Restorer",
    "Scope",
    "Vault",
    "VaultConflict",
    "VaultDown",
]
