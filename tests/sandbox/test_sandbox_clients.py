"""Many clients of the sandbox from one file."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import jwt
import pytest

from banno_creds.errors import ConfigurationError
from banno_creds.sandbox import DEFAULT_SCOPES, Client, Rule, Settings, create_app, read_clients
from tests.sandbox.bench import (
    CLIENT_ID,
    ISSUER,
    TOKEN_PATH,
    Bench,
    client_of,
    ec_key,
    private_pem,
    public_jwk,
    public_pem,
    rsa_key,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

ALL = """
[clients."199e6f35-4e9a-482e-b980-b10308aa428a"]
public_key = "keys/public.pem"
scope = ["openid", "a"]
name = "Garden"
institution_id = "3f85ce95"
account_id = "0d9a4e7a"
alg = "PS256"

[clients."with jwks"]
public_key = "jwks.json"

[clients.jwk]
public_key = "jwk.json"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of clients, with the keys that it may name."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "public.pem").write_text(public_pem(rsa_key()))
    (tmp_path / "private.pem").write_text(private_pem(ec_key()))
    (tmp_path / "ec.pem").write_text(public_pem(ec_key()))
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [public_jwk(ec_key(), kid="mine")]}))
    (tmp_path / "jwk.json").write_text(json.dumps(public_jwk(rsa_key())))
    file = tmp_path / "clients.toml"
    file.write_text(ALL)
    return file


def test_clients_of_a_file_get_tokens_each_its_own(
    file: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))  # a key's path counts from the file's folder
    bench = Bench(rsa_key())
    http = client_of(create_app(read_clients(file), ISSUER, Settings(clock=bench.clock, log=bench.log.append)))

    def ask(client_id: str, scope: str = "openid", **how: str) -> object:
        key = ec_key() if how.get("alg") == "ES256" else rsa_key()
        assertion = bench.sign(bench.claims(iss=client_id, sub=client_id), key=key, **how)
        response = http.post(TOKEN_PATH, data=bench.form(assertion, scope=scope))
        if response.status_code != 200:
            return bench.rule()
        claims = jwt.decode(response.get_json()["access_token"], options={"verify_signature": False})
        return {name: claims[name] for name in ("clientName", "institutionId", "accountId", "scope")}

    assert ask(CLIENT_ID, "a", alg="PS256") == {
        "clientName": "Garden",
        "institutionId": "3f85ce95",
        "accountId": "0d9a4e7a",
        "scope": "a",
    }
    # As node-oidc-provider's "alg mismatch", though the key would verify it.
    assert ask(CLIENT_ID, "a", alg="RS256") == Rule.ALG_KEY_MISMATCH
    assert ask(CLIENT_ID, "b", alg="PS256") == Rule.SCOPE_NOT_ALLOWED
    assert isinstance(ask("with jwks", DEFAULT_SCOPES[1], alg="ES256", kid="mine"), dict)
    assert ask("with jwks", alg="ES256", kid="other") == Rule.KID_UNKNOWN
    assert isinstance(ask("jwk", alg="RS256"), dict)
    assert isinstance(ask("jwk", alg="PS256"), dict)
    assert ask("nobody", alg="PS256") == Rule.CLIENT_UNKNOWN


def test_registered_alg_that_the_key_is_not_good_for_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="is not good for the registered alg ES256"):
        create_app([Client("a", public_pem(rsa_key()), alg="ES256")], ISSUER, Settings())


_HINT = 'a client is a table [clients."CLIENT ID"] with a public_key = "public.pem"'
_MEMBERS_HINT = (
    "a client has public_key, client_secret_file, scope, name, institution_id, account_id, alg, "
    "id_token_signed_response_alg, redirect_uris, post_logout_redirect_uris, require_pushed_authorization_requests"
)
_UNUSABLE = "give the public.pem that banno-creds keygen makes, or the public key as JWK or JWK Set"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "FILE registers no client", _HINT),
        ("[clients]", "FILE registers no client", _HINT),
        ("clients = 1", "FILE registers no client", _HINT),
        ("[client.a]\npublic_key = 'ec.pem'", "FILE: client is unknown", _HINT),
        (
            "[clients.a",
            "FILE is not TOML: Expected ']' at the end of a table declaration (at end of document)",
            _HINT,
        ),
        ("[clients.a]\n[clients.a]", "FILE is not TOML: ", _HINT),
        ("[clients]\na = 1", 'FILE: [clients."a"] is not a table', _HINT),
        ('[clients.""]\npublic_key = "ec.pem"', 'FILE: [clients.""] has no client ID', _HINT),
        ("[clients.a]", 'FILE: [clients."a"] has no public_key', 'write public_key = "public.pem"'),
        (
            '[clients.a]\npublic_key = "ec.pem"\nscopes = ["openid"]',
            'FILE: [clients."a"]: scopes is unknown',
            "did you mean scope?",
        ),
        (
            '[clients.a]\npublic_key = "ec.pem"\nzzz = 1',
            'FILE: [clients."a"]: zzz is unknown',
            _MEMBERS_HINT,
        ),
        (
            '[clients.a]\npublic_key = "ec.pem"\nscope = "openid"',
            'FILE: [clients."a"]: scope is not a list of scopes',
            'write scope = ["openid"]',
        ),
        (
            '[clients.a]\npublic_key = "ec.pem"\nscope = ["openid a"]',
            'FILE: [clients."a"]: scope is not a list of scopes',
            'write scope = ["openid"]',
        ),
        (
            '[clients.a]\npublic_key = "ec.pem"\nname = 1',
            'FILE: [clients."a"]: name is not a string',
            'write name = "…"',
        ),
        ("[clients.a]\npublic_key = 1", 'FILE: [clients."a"]: public_key is not a string', 'write public_key = "…"'),
        (
            '[clients.a]\npublic_key = "ec.pem"\nalg = "HS256"',
            "FILE: [clients.\"a\"]: alg is 'HS256'",
            "it may be PS256 or RS256 or ES256",
        ),
        (
            '[clients.a]\npublic_key = "ec.pem"\nalg = "PS256"',
            'FILE: [clients."a"]: public_key: the public key registered for a is not good for the registered alg',
            _UNUSABLE,
        ),
        (
            '[clients.a]\npublic_key = "nothing.pem"',
            'FILE: [clients."a"]: public_key: ',
            None,
        ),
        (
            '[clients.a]\npublic_key = "clients.toml"',
            'FILE: [clients."a"]: public_key: the public key registered for a is not a public key in PEM',
            _UNUSABLE,
        ),
        (
            '[clients.a]\npublic_key = "private.pem"',
            'FILE: [clients."a"]: public_key: the key registered for a is a private key',
            "give the public half: banno-creds keygen --public-from FILE makes it",
        ),
        (
            '[clients.a]\npublic_key = """-----BEGIN PUBLIC KEY-----\nMFkw"""',
            'FILE: [clients."a"]: public_key is a key instead of a path',
            'write public_key = "public.pem"',
        ),
    ],
)
def test_invalid_file_is_refused_by_file_table_and_member(
    file: Path, text: str, message: str, hint: str | None
) -> None:
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_clients(file)
    assert caught.value.message.startswith(message.replace("FILE", str(file)))
    assert hint is None or caught.value.hint == hint


def test_file_with_a_byte_order_mark_is_read_and_one_that_is_no_text_is_not(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + ALL.encode())
    assert len(read_clients(file)) == 3
    file.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="is not TOML: it is not UTF-8 text"):
        read_clients(file)


def test_private_key_in_the_file_is_called_leaked_and_not_shown(file: Path) -> None:
    file.write_text(f"[clients.a]\npublic_key = '''{private_pem(ec_key())}'''")
    with pytest.raises(ConfigurationError) as caught:
        read_clients(file)
    assert "treat this key as leaked" in str(caught.value.hint)
    assert (
        caught.value.message
        == f'{file}: [clients."a"]: public_key holds what looks like a private key (not shown here)'
    )


def test_strange_client_id_is_shown_fit_for_a_terminal(file: Path) -> None:
    file.write_text('[clients."\\u001b[31m"]\npublic_key = 1')
    with pytest.raises(ConfigurationError, match=re.escape('[clients."[31m"]')):
        read_clients(file)
