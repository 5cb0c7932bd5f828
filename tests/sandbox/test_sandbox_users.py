"""Test users of the sandbox from a file, and its options for signing people in."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import httpx
import pytest

from banno_creds.errors import ConfigurationError
from banno_creds.sandbox import Client, read_clients, read_users
from tests.sandbox.bench import ec_key, public_pem
from tests.servers.sandbox_process import running_sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Cli

pytestmark = pytest.mark.once

ALL = """
[users.jordan]
password = "open"
sub = "5cad5c30-6d24-11e9-870c-0242b78f8571"
given_name = "Jordan"
family_name = "Lee"
email = "jordan@example.com"
institutions = [{ id = "a", name = "Garden" }, { id = "b" }]

[users.jordan.claims]
birthdate = "1990-01-01"
address = { locality = "Springfield" }

[users."sam@example.com"]
password = "sesame"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "users.toml"
    file.write_text(ALL)
    return file


def test_users_of_a_file(file: Path) -> None:
    jordan, sam = read_users(file)
    assert jordan.claims == {
        "sub": "5cad5c30-6d24-11e9-870c-0242b78f8571",
        "name": "Jordan Lee",
        "preferred_username": "jordan",
        "picture": "",
        "given_name": "Jordan",
        "family_name": "Lee",
        "email": "jordan@example.com",
        "birthdate": "1990-01-01",
        "address": {"locality": "Springfield"},
    }
    assert [tuple(institution) for institution in jordan.institutions] == [("a", "Garden"), ("b", "b")]
    assert (sam.username, sam.claims["name"], sam.institutions) == ("sam@example.com", "sam@example.com", ())
    # The same in every run, and each their own.
    assert re.fullmatch(r"[0-9a-f-]{36}", sam.sub)
    assert read_users(file)[1].sub == sam.sub != jordan.sub


def test_password_is_compared_whole_and_not_shown(file: Path) -> None:
    jordan = read_users(file)[0]
    assert [jordan.has_password(text) for text in ("open", "Open", "open ", "", "ope", "\ud800")] == [
        True,
        *[False] * 5,
    ]
    assert "open" not in repr(jordan)


_HINT = 'a user is a table [users.riley] with a password = "sandbox"'


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "FILE has no user", _HINT),
        ("users = 1", "FILE has no user", _HINT),
        ("[user.a]\npassword = 'x'", "FILE: user is unknown", _HINT),
        ("[users.a", "FILE is not TOML: ", _HINT),
        ("[users]\na = 1", 'FILE: [users."a"] is not a table', _HINT),
        (
            '[users." a"]',
            'FILE: [users."a"]: the user name is empty, or begins or ends with a blank',
            _HINT,
        ),
        ("[users.a]", 'FILE: [users."a"] has no password', _HINT),
        ("[users.a]\npassword = 1", 'FILE: [users."a"]: password is not a string', 'write password = "…"'),
        ("[users.a]\npassword = ''", 'FILE: [users."a"]: password is empty', 'write password = "…"'),
        ("[users.a]\npasword = 'x'", 'FILE: [users."a"]: pasword is unknown', "did you mean password?"),
        (
            "[users.a]\nzzz = 'x'",
            'FILE: [users."a"]: zzz is unknown',
            "any other claim belongs in [users.NAME.claims]",
        ),
        (
            "[users.a]\npassword = 'x'\nsub = ''",
            'FILE: [users."a"]: sub is empty',
            'write sub = "…"',
        ),
        (
            "[users.a]\npassword = 'x'\n[users.a.claims]\nsub = 'x'",
            'FILE: [users."a"]: sub must not be among the claims',
            'write sub = "…"',
        ),
        (
            "[users.a]\npassword = 'x'\nclaims = 1",
            'FILE: [users."a"]: claims is not a table',
            "write [users.NAME.claims]",
        ),
        (
            "[users.a]\npassword = 'x'\n[users.a.claims]\nborn = 1990-01-01",
            'FILE: [users."a"]: a value in claims does not exist in JSON',
            "write dates as strings",
        ),
        (
            "[users.a]\npassword = 'x'\n[users.a.claims]\nx = nan",
            'FILE: [users."a"]: a value in claims does not exist in JSON',
            "write dates as strings",
        ),
        (
            "[users.a]\npassword = 'x'\ninstitutions = 'x'",
            'FILE: [users."a"]: institutions is not a list',
            "write inst",
        ),
        (
            "[users.a]\npassword = 'x'\ninstitutions = [{ name = 'x' }]",
            'FILE: [users."a"]: an institution has an id and a name',
            "write institutions = ",
        ),
        (
            "[users.a]\npassword = 'x'\ninstitutions = [{ id = '' }]",
            'FILE: [users."a"]: institutions: id is empty',
            'write id = "…"',
        ),
        (
            "[users.a]\npassword = 'x'\ninstitutions = [{ id = 'a' }, { id = 'a' }]",
            'FILE: [users."a"]: an institution is there twice',
            "delete one",
        ),
        (
            "[users.a]\npassword = 'x'\nsub = '1'\n[users.b]\npassword = 'x'\nsub = '1'",
            "FILE: a and b have the same sub",
            "leave sub out",
        ),
    ],
)
def test_invalid_file_is_refused_by_file_table_and_member(file: Path, text: str, message: str, hint: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_users(file)
    assert caught.value.message.startswith(message.replace("FILE", str(file)))
    assert str(caught.value.hint).startswith(hint)


def test_file_that_is_no_text_is_refused(file: Path) -> None:
    file.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="is not TOML: it is not UTF-8 text"):
        read_users(file)


# --- Clients that sign people in, from a file ---


@pytest.fixture
def clients(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_bytes(b"s3cret\r\n")
    (tmp_path / "public.pem").write_bytes(public_pem(ec_key()).encode())
    return tmp_path / "clients.toml"


def test_client_of_a_file_has_what_signing_people_in_needs(clients: Path) -> None:
    clients.write_text(
        "[clients.web]\nclient_secret_file = 'secret.txt'\nredirect_uris = ['https://localhost:8080/auth/cb']\n"
        "post_logout_redirect_uris = ['https://localhost:8080/']\nid_token_signed_response_alg = 'PS256'\n"
        "require_pushed_authorization_requests = true\n"
        "[clients.both]\nclient_secret_file = 'secret.txt'\npublic_key = 'public.pem'\n"
    )
    web, both = read_clients(clients)
    assert web == Client(
        "web",
        client_secret="s3cret",
        redirect_uris=("https://localhost:8080/auth/cb",),
        post_logout_redirect_uris=("https://localhost:8080/",),
        id_token_signed_response_alg="PS256",
        require_pushed_authorization_requests=True,
        institution_id=web.institution_id,
        account_id=web.account_id,
    )
    assert (both.client_secret, both.public_key) == ("s3cret", public_pem(ec_key()).encode())


@pytest.mark.parametrize(
    ("members", "message", "hint"),
    [
        (
            "client_secret = 'unsayable'",
            "the client secret itself must not be in this file (not shown)",
            'write client_secret_file = "secret.txt", and put the secret into that file',
        ),
        ("client_secret_file = 'nothing.txt'", "client_secret_file: ", ""),
        (
            "client_secret_file = 'empty.txt'",
            "client_secret_file: FOLDER/empty.txt holds no client secret",
            "write the",
        ),
        ("client_secret_file = 'two.txt'", "client_secret_file: FOLDER/two.txt holds no client secret", "write the"),
        ("client_secret_file = 'binary'", "client_secret_file: FOLDER/binary holds no client secret", "write the"),
        (
            "public_key = 'public.pem'\nredirect_uris = 'x'",
            "redirect_uris is not a list of URLs",
            "write redirect_uris",
        ),
        (
            "public_key = 'public.pem'\npost_logout_redirect_uris = [1]",
            "post_logout_redirect_uris is not a list of URLs",
            "write post_logout_redirect_uris",
        ),
        (
            "public_key = 'public.pem'\nredirect_uris = ['http://app.example/']",
            "the client a has an invalid redirect URI: 'http://app.example/'",
            "it is an absolute https URL without a fragment, or http on localhost",
        ),
        (
            "public_key = 'public.pem'\nid_token_signed_response_alg = 'HS256'",
            "id_token_signed_response_alg is 'HS256'",
            "it may be RS256 or ES256 or PS256",
        ),
        (
            "public_key = 'public.pem'\nrequire_pushed_authorization_requests = 1",
            "require_pushed_authorization_requests is not true or false",
            "write require_pushed_authorization_requests = true",
        ),
    ],
)
def test_invalid_client_of_a_file_is_refused(clients: Path, members: str, message: str, hint: str) -> None:
    (clients.parent / "empty.txt").write_text(" \n")
    (clients.parent / "two.txt").write_text("a\nb\n")
    (clients.parent / "binary").write_bytes(b"\xff\xfe")
    clients.write_text(f"[clients.a]\n{members}\n")
    with pytest.raises(ConfigurationError) as caught:
        read_clients(clients)
    expected = message.replace("FOLDER/", f"{clients.parent}{os.sep}")
    assert caught.value.message.startswith(f'{clients}: [clients."a"]: {expected}')
    assert str(caught.value.hint).startswith(hint)
    assert "unsayable" not in f"{caught.value.message} {caught.value.hint}"


# --- Options ---


def test_options_of_the_command_reach_the_login(tmp_path: Path, file: Path, clients: Path) -> None:
    del clients
    redirect_uri = "http://127.0.0.1:7777/cb"
    options: list[str | Path] = ["--client-id", "web", "--client-secret-file", tmp_path / "secret.txt"]
    options += ["--redirect-uri", redirect_uri, "--post-logout-redirect-uri", "https://localhost/", "--users", file]
    options += ["--id-token-alg", "ES256", "--require-par"]
    with running_sandbox(*options, log=tmp_path / "log") as (_, token_endpoint), httpx.Client() as browser:
        issuer = token_endpoint.removesuffix("/token")
        document = browser.get(f"{issuer}/.well-known/openid-configuration").json()
        assert document["id_token_signing_alg_values_supported"] == ["RS256", "ES256"]
        assert document["token_endpoint_auth_methods_supported"] == ["client_secret_basic", "client_secret_post"]
        assert document["require_pushed_authorization_requests"] is True
        assert "birthdate" in document["claims_supported"]
        parameters = {
            "response_type": "code",
            "redirect_uri": redirect_uri,
            "code_challenge": "x" * 43,
            "code_challenge_method": "S256",
        }
        pushed = browser.post(
            document["pushed_authorization_request_endpoint"], data=parameters, auth=("web", "s3cret")
        )
        query = {"client_id": "web", "request_uri": pushed.json()["request_uri"]}
        page = browser.get(document["authorization_endpoint"], params=query)
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text))
        login = {"username": "sam@example.com", "password": "sesame"}
        back = browser.post(document["authorization_endpoint"], data=hidden | login)
        assert back.headers["location"].startswith(f"{redirect_uri}?code=")
        query = {"client_id": "web", "post_logout_redirect_uri": "https://localhost/"}
        assert browser.get(document["end_session_endpoint"], params=query).status_code == 200


def test_without_options_the_vendors_redirect_uri_is_registered_and_a_key_is_needed(
    cli: Cli, tmp_path: Path, clients: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del clients
    monkeypatch.chdir(tmp_path)
    parameters = {"client_id": "sandbox-client", "response_type": "code", "prompt": "none"}
    parameters |= {"code_challenge": "x" * 43, "code_challenge_method": "S256"}
    with running_sandbox("--public-key", "public.pem", log=tmp_path / "log") as (_, token_endpoint):
        for uri in ("https://localhost:8080/auth/cb", "http://localhost:8080/auth/cb"):
            url = token_endpoint.removesuffix("/token") + "/auth"
            response = httpx.get(url, params=parameters | {"redirect_uri": uri})
            assert response.headers["location"].startswith(f"{uri}?error=login_required")
    (tmp_path / "public.pem").unlink()
    assert cli("sandbox").code == 2


@pytest.mark.parametrize(
    "option", ["--client-secret-file", "--redirect-uri", "--post-logout-redirect-uri", "--id-token-alg"]
)
def test_what_the_file_of_clients_says_is_not_said_by_an_option_too(cli: Cli, option: str) -> None:
    value = "ES256" if option == "--id-token-alg" else "x"
    result = cli("sandbox", "--clients", "x.toml", option, value)
    assert result.code == 2
    assert f"--clients and {option} exclude each other" in result.stderr


def test_what_the_file_of_clients_says_is_not_said_by_a_variable_too(cli: Cli) -> None:
    variables = ("BANNO_CREDS_SANDBOX_CLIENTS", "BANNO_CREDS_SANDBOX_POST_LOGOUT_URI")
    result = cli("sandbox", env=dict.fromkeys(variables, "x"))
    assert result.code == 2
    assert f"{variables[0]} and {variables[1]} exclude each other" in result.stderr.replace("\n    ", " ")
