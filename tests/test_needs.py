"""What `make test` says that it uses."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from tests import needs

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

_ENDING = ".exe" if sys.platform == "win32" else ""


def test_what_is_missing_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("openssl", "google-chrome"):
        (tmp_path / f"{name}{_ENDING}").touch(mode=0o755)
    text = needs.described()
    assert re.search(r"^  openssl +here$", text, re.MULTILINE)
    assert re.search(r"^  chromium +here$", text, re.MULTILINE)
    assert re.search(r"^  curl +MISSING: tests will fail \(Debian: curl\)$", text, re.MULTILINE)
    assert re.search(
        r"^  zsh +missing: tests of completion and passphrases in zsh are skipped \(Debian: zsh\)$",
        text,
        re.MULTILINE,
    )
    assert [need.package for need in needs.missing()][:2] == ["curl", "procps"]
    packages = " ".join(need.package for need in needs.missing())
    assert text.endswith(f"\nTo have all of it: sudo apt-get install {packages}")
    assert "minutes on two idle cores" in text
