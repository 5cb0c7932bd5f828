"""A keyring for processes of the tests, selected by PYTHON_KEYRING_BACKEND: it keeps its entries in a file."""

from __future__ import annotations

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend

FILE = "TESTS_KEYRING_FILE"


def entries() -> dict[str, str]:
    """All of them, by service and user."""
    file = Path(os.environ[FILE])
    found: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    return found


class FileKeyring(KeyringBackend):
    """It takes everything."""

    priority = 9
    name = "a keyring of the tests"

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep an entry."""
        self._write(entries() | {f"{service}/{username}": password})

    def get_password(self, service: str, username: str) -> str | None:
        """Give an entry."""
        return entries().get(f"{service}/{username}")

    def delete_password(self, service: str, username: str) -> None:
        """Remove an entry."""
        left = entries()
        del left[f"{service}/{username}"]
        self._write(left)

    def _write(self, members: dict[str, str]) -> None:
        Path(os.environ[FILE]).write_text(json.dumps(members))
