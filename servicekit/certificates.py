"""TLS credentials from files that may be replaced while the process runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from servicekit import logs

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CertificateFiles", "server_credentials"]


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


def server_credentials(files: CertificateFiles) -> grpc.ServerCredentials:
    """Credentials that follow the files: each new connection is served by what they hold then.

    With an authority, callers must show a certificate that it signed.

    Raises:
        OSError: the files cannot be read at the start; later, the last good ones stay.
    """
    served = files.modified()
    initial = _configuration(files)

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal served
        try:
            modified = files.modified()
            if modified == served:
                return None
            configuration = _configuration(files)
        except OSError as error:
            logs.get().error("certificate.unreadable", error_type=type(error).__name__)
            return None
        served = modified
        return configuration

    return grpc.dynamic_ssl_server_credentials(
        initial,
        fetch,  # type: ignore[arg-type]  # None means unchanged; the types do not know
        require_client_authentication=files.authority is not None,
    )


def _configuration(files: CertificateFiles) -> grpc.ServerCertificateConfiguration:
    certificate, key, authority = files.read()
    return grpc.ssl_server_certificate_configuration([(key, certificate)], authority)
