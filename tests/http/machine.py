"""This machine as the tests of HTTP see it: its addresses, its store of certificates, and the threads left over."""

from __future__ import annotations

import shutil
import socket
import ssl
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.tls import Authority


def exchanges_that_stay() -> list[str]:
    """The threads that do not end by themselves; on a busy machine one may still be closing its socket."""
    for _ in range(250):
        left = [thread.name for thread in threading.enumerate() if thread.name == "banno-creds exchange"]
        if not left:
            break
        time.sleep(0.02)
    return left


class Store:
    """The two places where OpenSSL looks, as Debian lays them out."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder / "certs"
        self.folder.mkdir()
        self.file = folder / "cert.pem"
        self.bundle = self.folder / "ca-certificates.crt"
        paths = ssl.DefaultVerifyPaths(
            str(self.file), str(self.folder), "SSL_CERT_FILE", str(self.file), "SSL_CERT_DIR", str(self.folder)
        )
        monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)

    def fill(self, *, folder: Authority, bundle: Authority) -> None:
        shutil.copy(bundle.file, self.bundle)
        self.file.symlink_to(self.bundle)
        for entry in folder.folder.iterdir():
            shutil.copy(entry, self.folder / entry.name)


linux = pytest.mark.skipif(sys.platform != "linux", reason="hashed folders are the system's store on Linux only")


def own_address() -> str:
    """An address of this machine that is not a loopback one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent: the system only looks which address it would use
        except OSError:
            pytest.skip("this machine has no network")
        address: str = probe.getsockname()[0]
        return address
