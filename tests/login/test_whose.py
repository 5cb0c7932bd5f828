"""Whose token it is: asked for by ``as``, else decided by a login; said everywhere, and never changed in silence."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from tests.oidc import NO_HOME, Tool, kept, one_line
from tests.profiles.files import write
from tests.programs import python

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Cli, Result
    from tests.servers.openid_provider import OpenIdProvider

APPLICATION = "the application's own"


def asked_for(provider: OpenIdProvider, result: Result) -> str:
    """Whose token a run gave or asked for."""
    if provider.forms("client_credentials"):  # the provider refuses it, which does not matter here
        assert result.code == 4, result.stderr
        return "application"
    assert (result.code, result.stdout) == (0, f"{provider.issued[0]}\n"), result.stderr
    return "person"


@pytest.mark.parametrize("by", ["option", "variable", "profile", "named profile before a variable"])
@pytest.mark.parametrize("whose", ["application", "person"])
def test_whose_token_is_as_it_was_asked_for(
    tool: Tool, provider: OpenIdProvider, ec_pem: Path, whose: str, by: str
) -> None:
    more, env = [], {}
    if by == "option":
        more = ["--as", whose]
    elif by == "variable":
        env = {"BANNO_CREDS_AS": whose}
    else:
        name = "a" if by == "profile" else "b"
        write(
            f'default = "a"\n[profiles.{name}]\nclient_id = "{tool.client[1]}"\n'
            f"private_key = '{ec_pem}'\n"
            f'issuer = "{provider.issuer}"\nas = "{whose}"\n'
            + ('[profiles.a]\nclient_id = "x"\n' if name == "b" else "")
        )
        more = [] if by == "profile" else ["--profile", "b"]
        assert tool.cli("login", "-q", "--redirect-uri", tool.redirect_uri, *more).code == 0
        tool.browser.done()
        if by != "profile":
            env = {"BANNO_CREDS_AS": "person" if whose == "application" else "application"}
        provider.issued[:] = provider.issued[-1:]
        result = tool.cli("token", *more, env=env)
        assert asked_for(provider, result) == whose
        return
    assert asked_for(provider, tool.run("token", *more, env=env)) == whose


def test_servers_are_left_alone_after_refusals_of_persons_too(stranger: Tool, provider: OpenIdProvider) -> None:
    names = [f"person-{number}" for number in range(4)]
    settings = f"client_id = \"{stranger.client[1]}\"\nprivate_key = '{stranger.client[3]}'\n"
    settings += f'issuer = "{provider.issuer}"\n'
    profiles = "".join(f'[profiles.{name}]\n{settings}as = "person"\n' for name in names)
    write(f'{profiles}[profiles.application]\n{settings}as = "application"\n')
    for name in names:
        words = ["--redirect-uri", stranger.redirect_uri, "--scope", "openid offline_access", "--profile", name]
        assert stranger.cli("login", "-q", *words).code == 0
        stranger.browser.done()
    provider.failures = [(401, b'{"error": "invalid_client"}')] * 10
    result = stranger.cli("check", "--all", "-q", "-o", "json", "--rate", "0", "--give-up-after", "2", "--keep")
    rows = {row["profile"]: row["error"] for row in json.loads(result.stdout)["profiles"]}
    assert rows == dict(zip([*names, "application"], ["invalid_client"] * 2 + ["not_asked"] * 3, strict=True))
    assert len(provider.failures) == 8
    # Who was not asked has still a refresh token that nobody used.
    provider.failures = []
    assert "used before" not in stranger.cli("token", "--force-refresh", "--profile", names[3]).stderr


@pytest.mark.parametrize(
    "command", [["token"], ["exec", "--", sys.executable, "-c", ""], ["api", "/a"]], ids=lambda words: words[0]
)
def test_a_persons_token_is_exit_6_where_nobody_is_signed_in(
    stranger: Tool, provider: OpenIdProvider, command: list[str]
) -> None:
    name, *after = command
    result = stranger.cli(name, *stranger.options, "--as", "person", *after)
    assert (result.code, result.stdout) == (6, "")
    assert "Nobody is signed in" in result.stderr
    assert "Next: sign in: banno-creds login --client-id" in result.stderr
    assert provider.log == []


def test_an_endpoint_beside_a_command_gives_the_persons_token(
    tool: Tool, provider: OpenIdProvider, tmp_path: Path
) -> None:
    code = (
        "import json, urllib.parse, urllib.request\n"
        "url, name, secret = (os.environ[f'BANNO_TOKEN_{each}'] for each in ('URL', 'CLIENT_ID', 'CLIENT_SECRET'))\n"
        "form = {'grant_type': 'client_credentials', 'client_id': name, 'client_secret': secret}\n"
        "with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode()) as answer:\n"
        "    open(sys.argv[1], 'w').write(json.load(answer)['access_token'])\n"
    )
    given = tmp_path / "given"
    for _ in range(2):
        assert tool.run("exec", "--serve", "--", *python(code, str(given))).code == 0
        assert given.read_text() == provider.issued[0]
    assert len(provider.issued) == 1
    refused = tool.run("exec", "--serve", "--no-cache", "--", *python(code, str(given)))
    assert (refused.code, refused.stdout) == (2, "")
    assert "leave --no-cache out" in refused.stderr


def test_a_persons_token_without_a_home_is_exit_6(stranger: Tool) -> None:
    result = stranger.run("token", "--as", "person", env=NO_HOME)
    assert (result.code, result.stdout) == (6, "")
    assert "BANNO_CREDS_STATE_DIR" in result.stderr


def test_an_application_with_a_secret_alone_has_no_token_of_its_own(cli: Cli, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    secret.chmod(0o600)
    result = cli("token", "--client-id", "a", "--client-secret-file", secret, "--as", "application")
    assert (result.code, result.stdout) == (6, "")
    assert "no token of its own" in result.stderr
    assert "--as person" in result.stderr


def test_after_a_logout_the_applications_token_comes_with_a_warning_until_it_is_asked_for(
    tool: Tool, provider: OpenIdProvider
) -> None:
    out = tool.run("logout", "--no-browser")
    assert f"give {APPLICATION} token, since nobody is signed in" in one_line(out.stderr)
    for _ in range(2):
        result = tool.run("token", "--force-refresh")
        assert asked_for(provider, result) == "application"
        assert f"!   This is {APPLICATION} token: the login of client" in result.stderr
        assert "--as application or --as person" in result.stderr
    asked = tool.run("token", "--as", "application", "--force-refresh")
    assert "This is" not in asked.stderr
    assert tool.run("token", "--as", "person").code == 6
    # Once somebody has signed in again it is theirs, and nothing is left of the end.
    assert tool.log_in("-q").code == 0
    assert tool.run("token").stdout == f"{provider.issued[-1]}\n"
    assert [file.suffix for file in kept()[0].parent.iterdir() if file.suffix == ".ended"] == []


def test_a_login_that_is_over_gives_way_to_nobody(tool: Tool, provider: OpenIdProvider) -> None:
    [file] = kept()
    members = json.loads(file.read_text())
    file.write_text(json.dumps(members | {"ended": "the server refused to renew it"}))
    result = tool.run("token")
    assert (result.code, result.stdout) == (6, "")
    assert "The login has ended" in result.stderr
    assert provider.forms("client_credentials") == []


def test_it_is_said_at_login_whoami_and_with_verbose(stranger: Tool) -> None:
    nobody = stranger.run("whoami")
    assert nobody.code == 6
    assert f"give {APPLICATION} token, since nobody is signed in" in one_line(nobody.stderr)
    person = "token, exec and api give the person's token, while somebody is signed in."
    assert person in one_line(stranger.log_in().stderr)
    assert person in one_line(stranger.run("whoami").stderr)
    assert "Whose token\n    the person's · somebody is signed in\n" in stranger.run("token", "-v").stderr
    chosen = stranger.run("token", "-v", "--as", "application").stderr
    assert f"Whose token\n    {APPLICATION} · asked for (as)\n" in chosen
    asked = stranger.run("whoami", env={"BANNO_CREDS_AS": "application"})
    assert f"give {APPLICATION} token: it is asked for by BANNO_CREDS_AS=application." in one_line(asked.stderr)


def test_the_doctor_names_the_login(tool: Tool) -> None:
    found = json.loads(tool.run("doctor", "--offline", "-o", "json").stdout)
    [login] = [each for each in found["settings"] if each["name"] == "login"]
    assert login["value"].startswith("of client ")
    found = json.loads(tool.run("doctor", "--offline", "-o", "json", "--as", "application").stdout)
    assert {"name": "as", "value": "application", "source": "--as"} in found["settings"]
