"""Logins whose refresh token rests in Windows' Credential Manager, as real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.oidc import Tool, kept, session, tool_for

if TYPE_CHECKING:
    from pathlib import Path

    from banno_creds.jose.keys import PrivateKey
    from tests.conftest import Cli
    from tests.servers.openid_provider import OpenIdProvider


@pytest.fixture
def tool(cli: Cli, provider: OpenIdProvider, ec_pem: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    monkeypatch.delenv("PYTHON_KEYRING_BACKEND")
    return tool_for(cli, provider, ec_pem, monkeypatch)


def started(tool: Tool, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "banno_creds", words[0], *tool.options, *words[1:]]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, encoding="utf-8")


def ran(tool: Tool, *words: str) -> str:
    """Run a command that succeeds; what it said on both streams."""
    with started(tool, *words) as process:
        stdout, stderr = process.communicate()
    assert process.returncode == 0, stderr
    return stdout + stderr


def signed_in(tool: Tool) -> str:
    """Sign in; what was said."""
    with started(tool, "login", "--redirect-uri", tool.redirect_uri, "--no-browser") as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if line.strip().startswith(f"{tool.issuer}/auth?"):
                httpx.get(line.strip(), trust_env=False, follow_redirects=True, timeout=60)
    assert process.returncode == 0, said
    return "".join(said)


def in_the_store(entry: str) -> str | None:
    import keyring

    from banno_creds.login.keyring import service

    return keyring.get_password(service(entry), entry)


def test_refresh_token_rests_there_from_login_to_logout(tool: Tool, provider: OpenIdProvider) -> None:
    said = signed_in(tool)
    assert "refresh token: in the keyring (Windows WinVaultKeyring)" in said, said
    first = session()["entry"]
    assert (session()["refresh_token"], in_the_store(first)) == (None, provider.refresh_tokens[0])
    assert provider.subject in ran(tool, "whoami")
    ran(tool, "token", "--force-refresh")
    second = session()["entry"]
    assert (in_the_store(first), in_the_store(second)) == (None, provider.refresh_tokens[1])
    ran(tool, "logout", "--no-browser")
    assert (kept(), in_the_store(second)) == ([], None)


def test_logins_that_are_kept_at_the_same_time_do_not_overwrite_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHON_KEYRING_BACKEND")
    program = (
        "import sys; from banno_creds.login.keyring import find_keyring; from banno_creds.steps import Run\n"
        "import banno_creds.login.keyring as module; module._MOST_SECONDS = 600\n"
        "keyring = find_keyring(Run()); sys.stdin.read(1)\n"
        "for turn in range(20): keyring.keep(f'{sys.argv[1]} {turn % 2}', f'{sys.argv[1]} has {turn}')\n"
    )
    names = [f"test-{os.getpid()}-{number}" for number in range(3)]
    pipe = subprocess.PIPE
    running = [subprocess.Popen([sys.executable, "-c", program, name], stdin=pipe, stderr=pipe) for name in names]
    said = [process.communicate(b"x") for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], said
    import keyring

    from banno_creds.login.keyring import service

    for name in names:
        for turn in (18, 19):
            entry = f"{name} {turn % 2}"
            assert in_the_store(entry) == f"{name} has {turn}"
            keyring.delete_password(service(entry), entry)


def test_port_that_windows_forbids_is_an_error_with_the_command_that_lists_such_ports(
    tool: Tool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ec_key: PrivateKey
) -> None:
    import socket

    class Forbidden(socket.socket):
        def bind(self, _: object) -> None:
            raise OSError(0, "Der Zugriff auf einen Socket war unzulässig", None, 10013)

    monkeypatch.setattr(socket, "socket", Forbidden)
    netsh = "netsh int ipv4 show excludedportrange protocol=tcp"
    login = tool.log_in()
    assert (login.code, login.stdout) == (2, "")
    assert "is reserved by Windows, or taken by a program of another user" in login.stderr
    assert netsh in " ".join(login.stderr.split())
    public_pem = tmp_path / "public.pem"
    public_pem.write_bytes(ec_key.public.pem())
    sandbox = tool.cli("sandbox", "--port", "9400", "--public-key", public_pem)
    assert (sandbox.code, sandbox.stdout) == (2, "")
    assert "The port 9400 on 127.0.0.1 cannot be used: Permission denied" in sandbox.stderr
    assert netsh in " ".join(sandbox.stderr.split())


def test_nobody_can_take_over_a_port_that_is_listened_at() -> None:
    import socket

    from banno_creds.redirection.listeners import listen
    from banno_creds.sandbox.server import _bind

    [ours] = listen("127.0.0.1", 0)
    for listener in (ours, _bind(0)):
        with listener, socket.socket() as thief:
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(PermissionError):
                thief.bind(listener.getsockname())


def test_settings_of_the_system_name_a_proxy_and_its_exceptions(monkeypatch: pytest.MonkeyPatch) -> None:
    import winreg as registry

    winreg: Any = registry

    from banno_creds.http import proxies

    path = r"Software\Microsoft\Windows\CurrentVersion\Internet Settings"
    values = {"ProxyEnable": 1, "ProxyServer": "proxy.example:3128", "ProxyOverride": "*.local.example;<local>"}
    kinds = {int: winreg.REG_DWORD, str: winreg.REG_SZ}
    monkeypatch.setenv("NO_PROXY", "other.example")  # which names no proxy, and excepts from the system's too
    with winreg.CreateKey(winreg.HKEY_CURRENT_USER, path) as key:
        try:
            for name, value in values.items():
                winreg.SetValueEx(key, name, 0, kinds[type(value)], value)
            found = {host: proxies.proxy_for(f"https://{host}/token") for host in ("bank.example", "a.local.example")}
            assert str(getattr(found["bank.example"], "url", None)) == "http://proxy.example:3128"
            assert found["a.local.example"] is None
            assert proxies.proxy_for("https://intranet/token") is None
            assert proxies.proxy_for("https://other.example/token") is None
            assert proxies.named_by() == "the system's settings"
            assert not proxies.script()
            winreg.SetValueEx(key, "AutoConfigURL", 0, winreg.REG_SZ, "http://wpad.example/proxy.pac")
            assert proxies.script()
        finally:
            for name in (*values, "AutoConfigURL"):
                winreg.DeleteValue(key, name)


def test_bundle_tells_the_system_and_its_code_pages() -> None:
    from banno_creds.doctor.support_bundle import _system

    assert _system().startswith("Windows-")
    assert "code pages cp" in _system()
