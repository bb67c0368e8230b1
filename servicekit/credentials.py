"""Server credentials that follow certificate files while the process runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from servicekit import logs

if TYPE_CHECKING:
    from servicekit.certificates import CertificateFiles

__all__ = ["server_credentials"]


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
