"""SoftHSM with tokens in a folder of their own: an HSM that is a library, and never the machine's own tokens."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pkcs11

_PLACES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/*/softhsm/libsofthsm2.so", "/usr/lib*/pkcs11/libsofthsm2.so")
# CKA_OS_TOKENFLAGS in a token's own file, and a number after it, each of 8 bytes.
_FLAGS_IN_FILE = re.compile(rb"(\x00{4}\x80\x00SK\x00{7}\x02)(.{8})", re.DOTALL)


def module() -> Path:
    """Return the library's path."""
    return next(path for place in _PLACES for path in Path("/").glob(place[1:]))


@dataclass(frozen=True)
class SoftHsm:
    """Tokens in a folder; the PIN of all of them is the same."""

    folder: Path
    pin: str = field(default_factory=lambda: f"pin-{secrets.token_hex(6)}", repr=False)

    @property
    def variables(self) -> dict[str, str]:
        return {"SOFTHSM2_CONF": str(self.folder / "softhsm2.conf"), "BANNO_CREDS_PKCS11_MODULE": str(module())}

    def start(self) -> SoftHsm:
        """Write the settings."""
        (self.folder / "tokens").mkdir(mode=0o700, exist_ok=True)
        (self.folder / "softhsm2.conf").write_text(
            f"directories.tokendir = {self.folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
        )
        return self

    def copied(self, folder: Path) -> SoftHsm:
        """Return the same tokens in another folder."""
        shutil.copytree(self.folder / "tokens", folder / "tokens")
        return SoftHsm(folder, self.pin).start()

    def make_token(self, label: str) -> None:
        subprocess.run(
            ["softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", "so-pin", "--pin", self.pin],
            env=self.variables,
            check=True,
            capture_output=True,
        )

    def token_file(self) -> Path:
        """Return the file of the only token."""
        return next((self.folder / "tokens").glob("*/token.object"))

    def set_flags(self, flags: int, *, cleared: int = 0) -> None:
        """Set flags of the only token, as a token of hardware sets them by itself, and clear others."""
        file = self.token_file()
        content = file.read_bytes()
        found = _FLAGS_IN_FILE.search(content)
        assert found is not None
        now = (int.from_bytes(found[2], "big") | flags) & ~cleared
        file.write_bytes(content[: found.start(2)] + now.to_bytes(8, "big") + content[found.end(2) :])


class Served:
    """SoftHSM in processes of its own, as a token of hardware is; p11-kit hands on what is asked of it.

    The server has a child for each process that asks.
    """

    def __init__(self, hsm: SoftHsm, socket: Path) -> None:
        self._hsm = hsm
        self._socket = socket
        self._server: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def variables(self) -> dict[str, str]:
        client = next(Path("/usr/lib").glob("*/pkcs11/p11-kit-client.so"))
        return {
            "P11_KIT_SERVER_ADDRESS": f"unix:path={self._socket}",
            "BANNO_CREDS_PKCS11_MODULE": str(client),
        }

    def start(self) -> None:
        """Start the server. In the foreground it prints the address, and goes on until it is ended."""
        self._socket.unlink(missing_ok=True)
        self._server = subprocess.Popen(
            ["p11-kit", "server", "-f", "-n", self._socket, "--provider", module(), "pkcs11:token=banno"],
            env={**os.environ, **self._hsm.variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._server.stdout is not None
        assert b"P11_KIT_SERVER_ADDRESS" in self._server.stdout.readline()

    def signal_children(self, number: int) -> None:
        """Send a signal to what serves those who have connected."""
        assert self._server is not None
        pid = str(self._server.pid)
        for child in Path("/proc", pid, "task", pid, "children").read_text().split():
            os.kill(int(child), number)

    def end(self) -> None:
        """End all of it, if it runs."""
        if self._server is None:
            return
        self.signal_children(signal.SIGKILL)
        self._server.kill()
        self._server.wait(30)
        assert self._server.stdout is not None
        self._server.stdout.close()
        self._server = None


def library() -> Any:
    """Return the library, in this process."""
    import pkcs11

    return pkcs11.lib(str(module()))


def forget() -> None:
    """End the library in this process, so that it reads its settings and tokens again."""
    loaded = getattr(sys.modules.get("pkcs11"), "_loaded", {})
    for each in loaded.values():
        with suppress(RuntimeError):  # it was ended before
            each.finalize()


def make_key(session: pkcs11.Session, kind: str, label: str, key_id: bytes, **private: Any) -> tuple[Any, Any]:
    """Have a token make a key that does not leave it; `private` are more attributes of the private key."""
    import pkcs11
    from pkcs11 import Attribute, KeyType, MechanismFlag
    from pkcs11.util.ec import encode_named_curve_parameters

    template = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}
    template |= {getattr(Attribute, name): value for name, value in private.items()}
    options: dict[str, Any] = {"store": True, "label": label, "id": key_id, "private_template": template}
    options["capabilities"] = MechanismFlag.SIGN | MechanismFlag.VERIFY
    if kind.startswith("RSA"):
        return session.generate_keypair(KeyType.RSA, int(kind[3:] or 2048), **options)
    curve = encode_named_curve_parameters(kind)
    parameters = session.create_domain_parameters(pkcs11.KeyType.EC, {Attribute.EC_PARAMS: curve}, local=True)
    public, private_key = parameters.generate_keypair(**options)
    return public, private_key
