"""Where certificates are; the files may be replaced while the process runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CertificateFiles"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFiles:
    """Where one side's certificate chain and key are, in PEM, and whom it believes."""

    certificate: Path
    key: Path
    # The authorities whose certificates the other side must show; None asks for none.
    authority: Path | None = None

    def modified(self) -> tuple[int, ...]:
        """Changes whenever one of the files does.

        Raises:
            OSError: one of them is missing.
        """
        return tuple(path.stat().st_mtime_ns for path in self._paths())

    def read(self) -> tuple[bytes, bytes, bytes | None]:
        """Certificate chain, key, authorities.

        Raises:
            OSError: one of them cannot be read.
        """
        authority = self.authority.read_bytes() if self.authority else None
        return self.certificate.read_bytes(), self.key.read_bytes(), authority

    def _paths(self) -> list[Path]:
        return [path for path in (self.certificate, self.key, self.authority) if path]
