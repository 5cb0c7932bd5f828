"""A certificate authority, and servers' TLS contexts."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path


@dataclass(frozen=True)
class Authority:
    """A certificate authority, with its file and its hashed folder."""

    ca: trustme.CA
    file: Path
    folder: Path

    def context(
        self, *names: str, not_after: datetime | None = None, not_before: datetime | None = None
    ) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names, not_after=not_after, not_before=not_before).configure_cert(context)
        return context


def make_authority(folder: Path) -> Authority:
    ca = trustme.CA()
    folder.mkdir()
    hashed = folder / "hashed"
    hashed.mkdir()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    ca.cert_pem.write_to_path(hashed / "ca.pem")
    subprocess.run(["openssl", "rehash", hashed], check=True)
    return Authority(ca, folder / "ca.pem", hashed)
