"""How a client that signs people in proves who it is, and that what it proves it with is seen nowhere else."""

from __future__ import annotations

import base64
import json
import os
import re
import sys
from typing import TYPE_CHECKING
from urllib.parse import quote_plus, unquote_plus

import jwt
import pexpect
import pytest

from banno_creds.client_authentication.methods import (
    BASIC,
    POST,
    Authenticated,
    Client,
    ClientSecret,
    Key,
    SecretSource,
    SignedJwt,
    choose,
)
from banno_creds.client_authentication.private_key import load_signer
from banno_creds.config import ClientConfig, KeySource
from banno_creds.steps import Run
from tests.conftest import CLIENT_ID, write_private
from tests.oidc import Tool, answer_to, grow_older, kept, one_line, session, tool_for
from tests.servers.openid_provider import OpenIdProvider

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from banno_creds.jose.keys import PrivateKey
    from tests.conftest import Cli

SECRET = "s3cret:with%every+thing &=in it"


@pytest.fixture
def provider(ec_key: PrivateKey) -> Iterator[OpenIdProvider]:
    with OpenIdProvider(ec_key, "ES256") as running:
        yield running


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    return write_private(tmp_path / "secret.txt", f"{SECRET}\n".encode())


@pytest.fixture
def tool(
    cli: Cli, provider: OpenIdProvider, rsa_pem: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> Tool:
    """The tool with a private key."""
    del pauses
    return tool_for(cli, provider, rsa_pem, monkeypatch)


@pytest.fixture
def bare(tool: Tool) -> Tool:
    """The tool with nothing that proves who the client is."""
    tool.client = ["--client-id", CLIENT_ID]
    return tool


@pytest.fixture
def with_secret(tool: Tool, secret_file: Path) -> Tool:
    """The tool with a client secret in a file."""
    tool.client = ["--client-id", CLIENT_ID, "--client-secret-file", str(secret_file)]
    return tool


def basic_of(header: str) -> tuple[str, str]:
    """Client ID and secret, as RFC 6749 section 2.3.1 has them read."""
    scheme, _, encoded = header.partition(" ")
    assert scheme == "Basic"
    client_id, _, secret = base64.b64decode(encoded).decode().partition(":")
    return unquote_plus(client_id), unquote_plus(secret)


# --- the methods ---


@pytest.mark.parametrize("aud", [None, "issuer", "token_endpoint"])
def test_signed_jwt_is_for_where_it_goes_and_another_one_each_time(
    aud: str | None, tool: Tool, provider: OpenIdProvider, rsa_key: PrivateKey
) -> None:
    """At other endpoints than the token endpoint it is for the issuer, whatever --aud says: no good for a token."""
    more = [] if aud is None else ["--aud", provider.metadata[aud]]
    assert tool.log_in("--par", *more).code == 0
    assert tool.run("token", "--no-cache", "--force-refresh", *more).code == 0
    assert tool.run("logout", *more).code == 0
    requests = [each for each in provider.log if "client_assertion" in each.values]
    here = provider.metadata[aud or "token_endpoint"]
    expected = [
        ("/par", None, provider.issuer),
        ("/token", "authorization_code", here),
        ("/token", "refresh_token", here),
        ("/revoke", None, provider.issuer),
        ("/revoke", None, provider.issuer),
    ]
    assert [(each.path, each.values.get("grant_type")) for each in requests] == [each[:2] for each in expected]
    key = rsa_key.public.pem()
    jtis = set()
    for each, (*_, audience) in zip(requests, expected, strict=True):
        claims = jwt.decode(each.values["client_assertion"], key, algorithms=["PS256"], audience=audience)
        assert (claims["iss"], claims["sub"], claims["aud"]) == (CLIENT_ID, CLIENT_ID, audience)
        assert "client_secret" not in each.values
        jtis.add(claims["jti"])
    assert len(jtis) == len(expected)


def test_assertion_for_another_server_is_never_made(tool: Tool, provider: OpenIdProvider) -> None:
    result = tool.log_in("--aud", "https://bank.example/token")
    assert result.code == 2
    assert "n assertion for https://bank.example/token would go to another server" in one_line(result.stderr)
    assert tool.browser.addresses == []
    assert [each for each in provider.log if "client_assertion" in each.values] == []


def test_options_of_the_assertion_are_those_of_the_login_too(tool: Tool, provider: OpenIdProvider) -> None:
    assert tool.log_in("--alg", "RS256", "--kid", "thumbprint", "--claim", "a=b", "--lifetime", "120").code == 0
    assertion = provider.forms("authorization_code")[0]["client_assertion"]
    header = jwt.get_unverified_header(assertion)
    claims = jwt.decode(assertion, options={"verify_signature": False})
    assert (header["alg"], "kid" in header, claims["a"]) == ("RS256", True, "b")


def test_secret_is_sent_by_basic_form_encoded_where_discovery_names_it(
    with_secret: Tool, provider: OpenIdProvider
) -> None:
    assert with_secret.log_in().code == 0
    assert with_secret.run("token", "--no-cache", "--force-refresh").code == 0
    for request in provider.asked("/token"):
        assert basic_of(request.headers["authorization"]) == (CLIENT_ID, SECRET)
        assert "client_secret" not in request.values
        assert "client_assertion" not in request.values


@pytest.mark.parametrize("client_id", ["a:b", "50%", "a+b", "a b", CLIENT_ID])
def test_client_id_and_secret_of_basic_are_what_they_were_however_they_are_written(client_id: str) -> None:
    whole = ClientSecret(client_id, SECRET, BASIC).apply((("grant_type", "x"),), Run())
    [(name, value)] = whole.headers
    assert name == "authorization"
    assert basic_of(value) == (client_id, SECRET)
    assert whole.form == (("grant_type", "x"),)


@pytest.mark.parametrize(
    ("named", "method"),
    [
        (None, BASIC),
        (["client_secret_basic"], BASIC),
        (["client_secret_post"], POST),
        (["client_secret_post", "client_secret_basic"], BASIC),
        (["private_key_jwt", "client_secret_post"], POST),
        ("client_secret_post", POST),  # a string for a list of one
        (7, BASIC),
    ],
)
def test_way_of_sending_the_secret_is_what_discovery_names(
    named: object, method: str, with_secret: Tool, provider: OpenIdProvider
) -> None:
    if named is None:
        del provider.metadata["token_endpoint_auth_methods_supported"]
    else:
        provider.metadata["token_endpoint_auth_methods_supported"] = named
    result = with_secret.log_in()
    assert result.code == 0, result.stderr
    [request] = provider.asked("/token")
    if method == BASIC:
        assert basic_of(request.headers["authorization"]) == (CLIENT_ID, SECRET)
    else:
        assert (request.values["client_id"], request.values["client_secret"]) == (CLIENT_ID, SECRET)
        assert "authorization" not in request.headers
    assert method in result.stderr


def test_renewal_and_revocation_send_the_secret_as_the_login_did(with_secret: Tool, provider: OpenIdProvider) -> None:
    provider.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    assert with_secret.log_in().code == 0
    assert with_secret.run("token", "--no-cache", "--force-refresh").code == 0
    assert with_secret.run("logout").code == 0
    posted = [*provider.asked("/token"), *provider.asked("/revoke")]
    assert [each.values.get("client_secret") for each in posted] == [SECRET] * 4


def test_secret_is_pushed_with_the_request_where_that_is_asked_for(
    with_secret: Tool, provider: OpenIdProvider
) -> None:
    provider.metadata |= {
        "require_pushed_authorization_requests": True,
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
    }
    assert with_secret.log_in().code == 0
    [pushed] = provider.asked("/par")
    assert pushed.values["client_secret"] == SECRET
    assert pushed.values["client_id"] == CLIENT_ID
    assert SECRET not in with_secret.browser.addresses[0]
    assert quote_plus(SECRET) not in with_secret.browser.addresses[0]


def test_server_that_takes_no_secret_is_told_before_a_browser_opens(
    with_secret: Tool, provider: OpenIdProvider
) -> None:
    provider.metadata["token_endpoint_auth_methods_supported"] = ["private_key_jwt"]
    result = with_secret.log_in()
    assert result.code == 2
    assert "takes no client secret" in one_line(result.stderr)
    assert with_secret.browser.addresses == []


def test_key_is_used_with_a_warning_where_discovery_does_not_name_it(tool: Tool, provider: OpenIdProvider) -> None:
    provider.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_basic"]
    result = tool.log_in()
    assert result.code == 0
    assert "does not name private_key_jwt" in one_line(result.stderr)


def test_signed_jwt_is_recommended_to_who_gives_nothing_or_uses_a_secret(bare: Tool, with_secret: Tool) -> None:
    del with_secret
    bare.client = ["--client-id", CLIENT_ID]
    result = bare.log_in()
    assert result.code == 2
    assert "signed JWT, which is recommended" in one_line(result.stderr)
    assert bare.provider.log == []


def test_refusal_after_a_person_signed_in_is_not_put_down_to_what_that_rules_out(
    tool: Tool, provider: OpenIdProvider
) -> None:
    echoes(provider, "client authentication failed")
    said = one_line(tool.log_in().stderr)
    assert "left: the bank has another public key than yours" in said
    assert "does not know this client ID" not in said
    assert "Service account" not in said


# --- the method that was asked for ---


@pytest.mark.parametrize("name", ["post", "client_secret_post"])
def test_secret_is_sent_as_asked_for_at_every_endpoint(
    name: str, with_secret: Tool, provider: OpenIdProvider
) -> None:
    """Discovery names both ways, and the application is registered for one."""
    with_secret.client += ["--client-auth", name]
    assert with_secret.log_in("--par").code == 0
    assert with_secret.run("token", "--no-cache", "--force-refresh").code == 0
    assert with_secret.run("whoami", "--userinfo").code == 0
    assert with_secret.run("logout").code == 0
    requests = [*provider.asked("/par"), *provider.asked("/token"), *provider.asked("/revoke")]
    assert [each.values.get("client_secret") for each in requests] == [SECRET] * 5
    assert [each for each in requests if "authorization" in each.headers] == []


@pytest.mark.parametrize("level", ["variable", "profile"])
def test_method_may_be_in_a_variable_or_a_profile(
    level: str, with_secret: Tool, provider: OpenIdProvider, tmp_path: Path
) -> None:
    env, more = {"BANNO_CREDS_CLIENT_AUTH": "post"}, []
    if level == "profile":
        file = write_private(tmp_path / "c.toml", b'[profiles.a]\nclient_auth = "post"\nclient_id_in_body = true\n')
        env, more = {}, ["--config", str(file), "--profile", "a"]
    result = with_secret.log_in(*more, env=env)
    assert result.code == 0, result.stderr
    assert provider.asked("/token")[0].values["client_secret"] == SECRET


def test_method_is_used_though_discovery_does_not_name_it(with_secret: Tool, provider: OpenIdProvider) -> None:
    provider.metadata["token_endpoint_auth_methods_supported"] = ["private_key_jwt"]
    assert with_secret.log_in("--client-auth", "basic").code == 0
    assert basic_of(provider.asked("/token")[0].headers["authorization"]) == (CLIENT_ID, SECRET)


@pytest.mark.parametrize(("method", "sent"), [("private_key_jwt", "client_assertion"), ("post", "client_secret")])
def test_method_says_which_of_key_and_secret_is_meant(
    method: str, sent: str, with_secret: Tool, provider: OpenIdProvider, rsa_pem: Path
) -> None:
    result = with_secret.log_in("--private-key", str(rsa_pem), "--client-auth", method)
    assert result.code == 0, result.stderr
    assert {"client_assertion", "client_secret"} & provider.asked("/token")[0].values.keys() == {sent}


@pytest.mark.parametrize(
    ("method", "given", "env", "said"),
    [
        ("post", "key", {}, "--client-auth is client_secret_post, which needs a client secret, and a private key is"),
        ("basic", "key", {}, "--client-auth is client_secret_basic, which needs a client secret"),
        ("private_key_jwt", "secret", {}, "needs a private key, and a client secret is given"),
        (None, "key", {"BANNO_CREDS_CLIENT_AUTH": "post"}, "BANNO_CREDS_CLIENT_AUTH is client_secret_post, which"),
        ("private_key_jwt", None, {}, "neither a key nor a secret"),
        ("header", "key", {}, "'header' is not one of"),
    ],
)
def test_method_without_what_it_needs_is_exit_2(
    method: str | None,
    given: str | None,
    env: dict[str, str],
    said: str,
    tool: Tool,
    provider: OpenIdProvider,
    rsa_pem: Path,
    secret_file: Path,
) -> None:
    proofs = {"key": ["--private-key", str(rsa_pem)], "secret": ["--client-secret-file", str(secret_file)], None: []}
    tool.client = ["--client-id", CLIENT_ID, *proofs[given]]
    result = tool.log_in(*([] if method is None else ["--client-auth", method]), env=env)
    assert (result.code, result.stdout) == (2, "")
    assert said in one_line(result.stderr)
    assert [each.path for each in provider.log if each.path != "/.well-known/openid-configuration"] == []


def test_secret_gets_no_token_of_the_clients_own_however_it_is_sent(
    with_secret: Tool, provider: OpenIdProvider
) -> None:
    result = with_secret.run("token", "--client-auth", "post")
    assert result.code == 6
    assert "nobody is signed in" in one_line(result.stderr).lower()
    assert provider.log == []


@pytest.mark.parametrize(
    ("named", "secret", "body", "hint"),
    [
        ([BASIC, POST], "plain", b'{"error": "invalid_client"}', "or add --client-auth post: discovery names it too"),
        ([BASIC, POST], "with+plus", b'{"error": "invalid_client"}', "characters that some servers read otherwise"),
        ([BASIC, POST], "plain", b"", "or add --client-auth post"),
        ([BASIC], "plain", b'{"error": "invalid_client"}', None),
    ],
)
def test_refused_secret_brings_the_hint_to_send_it_otherwise(
    named: list[str], secret: str, body: bytes, hint: str | None, bare: Tool, provider: OpenIdProvider
) -> None:
    provider.metadata["token_endpoint_auth_methods_supported"] = named
    provider.failures = [(401, body)]
    result = bare.log_in(env={"BANNO_CREDS_CLIENT_SECRET": secret})
    assert result.code == 4
    said = one_line(result.stderr)
    assert ("--client-auth" in said) == (hint is not None)
    assert hint is None or hint in said
    assert len(provider.asked("/token")) == 1, "a refused authentication is never tried again"


def test_secret_refused_in_the_form_brings_the_hint_to_send_it_by_basic(bare: Tool, provider: OpenIdProvider) -> None:
    provider.failures = [(401, b'{"error": "invalid_client"}')]
    result = bare.log_in("--client-auth", "post", env={"BANNO_CREDS_CLIENT_SECRET": "plain"})
    assert "or add --client-auth basic: discovery names it too" in one_line(result.stderr)


# --- the client ID in the form ---


def test_client_id_is_in_each_form_where_it_was_asked_for(
    tool: Tool, with_secret: Tool, provider: OpenIdProvider, rsa_pem: Path
) -> None:
    for client in (with_secret.client, ["--client-id", CLIENT_ID, "--private-key", str(rsa_pem)]):
        for more in ([], ["--client-id-in-body"]):
            provider.log.clear()
            tool.client = [*client, *more]
            assert tool.log_in().code == 0
            assert tool.run("token", "--no-cache", "--force-refresh").code == 0
            assert tool.run("logout").code == 0
            sent = [each.values for each in (*provider.asked("/token"), *provider.asked("/revoke"))]
            assert len(sent) == 4
            assert [each.get("client_id") for each in sent] == [CLIENT_ID if more else None] * 4


@pytest.mark.once
@pytest.mark.parametrize(
    ("words", "hinted"),
    [
        ("client_id is missing", True),
        ("Missing required parameter: client_id", True),
        ("client_id must be provided", True),
        ("The request must contain the client_id", True),
        ("no client_id in the request", True),
        ("clientId required", True),
        ("client id is required", True),
        ("client_id mismatch", False),
        ("no client with this client_id", False),
        ("unknown client_id", False),
        ("client authentication failed", False),
    ],
)
@pytest.mark.parametrize("error", ["invalid_request", "invalid_client"])
def test_server_that_misses_the_client_id_brings_the_hint(
    error: str, words: str, hinted: bool, tool: Tool, provider: OpenIdProvider
) -> None:
    provider.failures = [(400, json.dumps({"error": error, "error_description": words}).encode())]
    result = tool.log_in()
    assert result.code == 4
    assert ("add --client-id-in-body" in one_line(result.stderr)) == hinted
    provider.failures = [(400, json.dumps({"error": error, "error_description": words}).encode())]
    assert "add --client-id-in-body" not in one_line(tool.log_in("--client-id-in-body").stderr)


def test_empty_refusal_of_a_code_brings_the_hint_too(tool: Tool, provider: OpenIdProvider) -> None:
    provider.failures = [(400, b"")]
    assert "or add --client-id-in-body: a few servers want" in one_line(tool.log_in().stderr)


# --- where the secret comes from ---


def test_secret_comes_from_standard_input(bare: Tool, provider: OpenIdProvider) -> None:
    assert bare.log_in("--client-secret-file", "-", stdin=f"{SECRET}\n".encode()).code == 0
    assert basic_of(provider.asked("/token")[0].headers["authorization"])[1] == SECRET


def test_secret_comes_from_the_environment(bare: Tool, provider: OpenIdProvider, secret_file: Path) -> None:
    assert bare.log_in(env={"BANNO_CREDS_CLIENT_SECRET": f"{SECRET}\r\n"}).code == 0
    assert bare.log_in(env={"BANNO_CREDS_CLIENT_SECRET_FILE": str(secret_file)}).code == 0
    sent = [basic_of(request.headers["authorization"])[1] for request in provider.asked("/token")]
    assert sent == [SECRET, SECRET]


def test_secret_comes_from_a_profiles_file_counted_from_its_folder(
    bare: Tool, provider: OpenIdProvider, secret_file: Path, tmp_path: Path
) -> None:
    text = f'[profiles.bank]\nclient_id = "{CLIENT_ID}"\nclient_secret_file = "{secret_file.name}"\n'
    config = write_private(tmp_path / "config.toml", text.encode())
    bare.client = ["--config", str(config), "--profile", "bank"]
    result = bare.log_in()
    assert result.code == 0, result.stderr
    assert basic_of(provider.asked("/token")[0].headers["authorization"])[1] == SECRET


@pytest.mark.posix("a pseudo-terminal")
def test_secret_is_asked_for_at_a_terminal_and_not_shown_there(tool: Tool, provider: OpenIdProvider) -> None:
    child = pexpect.spawn(
        sys.executable,
        [
            *("-m", "banno_creds", "login", "--client-id", CLIENT_ID, "--issuer", provider.issuer, "--manual"),
            *("--no-browser", "--redirect-uri", tool.redirect_uri),
        ],
        env={**os.environ, "TERM": "dumb"},
        dimensions=(50, 2000),
        encoding="utf-8",
        timeout=30,
    )
    try:
        child.expect(r"Client secret \(no --private-key was given\): ")
        child.sendline(SECRET)
        child.expect(rf"({provider.issuer}/auth\?\S+)")
        assert isinstance(child.match, re.Match)
        url = child.match[1]
        child.expect(r"press\s+Enter")
        child.sendline(answer_to(url))
        child.expect(pexpect.EOF)
    finally:
        child.close()
    assert child.exitstatus == 0
    assert basic_of(provider.asked("/token")[0].headers["authorization"])[1] == SECRET


@pytest.mark.parametrize("level", ["options", "variables", "profile"])
def test_key_and_secret_at_one_level_contradict_each_other(
    level: str, bare: Tool, secret_file: Path, rsa_pem: Path, tmp_path: Path
) -> None:
    both = {"private_key": str(rsa_pem), "client_secret_file": str(secret_file)}
    more: list[str] = []
    env: dict[str, str] = {}
    if level == "options":
        more = [each for name, value in both.items() for each in (f"--{name.replace('_', '-')}", value)]
    elif level == "variables":
        env = {f"BANNO_CREDS_{name.upper()}": value for name, value in both.items()}
    else:
        text = "[profiles.bank]\n" + "".join(f"{name} = '{value}'\n" for name, value in both.items())
        more = ["--config", str(write_private(tmp_path / "config.toml", text.encode())), "--profile", "bank"]
    result = bare.log_in(*more, env=env)
    assert result.code == 2, result.stderr
    assert "one way" in one_line(result.stderr) or "client_secret_file" in result.stderr
    assert bare.provider.log == []


def test_what_is_nearest_to_the_user_proves_who_the_client_is(
    bare: Tool, provider: OpenIdProvider, secret_file: Path, rsa_pem: Path
) -> None:
    assert bare.log_in("--private-key", str(rsa_pem), env={"BANNO_CREDS_CLIENT_SECRET": "another"}).code == 0
    env = {"BANNO_CREDS_PRIVATE_KEY": str(rsa_pem)}
    assert bare.log_in("--client-secret-file", str(secret_file), env=env).code == 0
    assert bare.log_in("--client-secret-file", str(secret_file), env={"BANNO_CREDS_CLIENT_SECRET": "x"}).code == 0
    first, *others = provider.asked("/token")
    assert "client_assertion" in first.values
    assert "authorization" not in first.headers
    assert [basic_of(other.headers["authorization"])[1] for other in others] == [SECRET, SECRET]


def test_private_key_in_the_place_of_the_secret_is_refused_and_not_shown(
    bare: Tool, rsa_pem: Path, rsa_key: PrivateKey
) -> None:
    pem = rsa_key.pem().decode()
    for result in (
        bare.log_in("--client-secret-file", str(rsa_pem)),
        bare.log_in(env={"BANNO_CREDS_CLIENT_SECRET": pem}),
        bare.log_in("--client-secret-file", "-", stdin=pem.encode()),
        bare.log_in("--client-secret-file", pem),
    ):
        assert result.code == 2
        assert pem.splitlines()[1] not in result.stderr
    assert bare.provider.log == []


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b" blank\n", b"tab\t\n", "ü\n".encode(), b"\x00"])
def test_secret_that_cannot_be_one_is_refused_and_not_shown(content: bytes, bare: Tool, tmp_path: Path) -> None:
    result = bare.log_in("--client-secret-file", str(write_private(tmp_path / "secret", content)))
    assert result.code == 2
    assert "lient secret" in result.stderr
    assert not any(word in result.stderr for word in ("two", "lines", "OpenSSL"))
    assert bare.provider.log == []


def test_secret_given_for_its_files_name_is_not_shown(bare: Tool) -> None:
    result = bare.log_in("--client-secret-file", "hunter2-is-my-secret")
    assert result.code == 2
    assert "hunter2" not in result.stderr


# --- what is seen of it ---


def echoes(provider: OpenIdProvider, words: str) -> None:
    """Have the token endpoint refuse with these words."""
    members = {"error": "invalid_client", "error_description": words, "error_uri": words}
    provider.failures.append((401, json.dumps(members).encode()))


def assert_unseen(stderr: str, *secrets: str) -> None:
    squeezed = "".join(stderr.split())
    assert [secret for secret in secrets if "".join(secret.split()) in squeezed] == []


@pytest.mark.parametrize("method", [BASIC, POST])
def test_secret_is_not_shown_though_the_server_echoes_it(
    method: str, with_secret: Tool, provider: OpenIdProvider
) -> None:
    provider.metadata["token_endpoint_auth_methods_supported"] = [method]
    encoded = base64.b64encode(f"{quote_plus(CLIENT_ID)}:{quote_plus(SECRET)}".encode()).decode()
    sent = [f"Basic {encoded}"] if method == BASIC else []
    for echo in (SECRET, f"wrong secret {SECRET} for you", quote_plus(SECRET), *sent):
        echoes(provider, echo)
        result = with_secret.log_in()
        assert result.code == 4
        assert_unseen(result.stderr, SECRET, quote_plus(SECRET), *sent)


def test_code_verifier_and_signature_are_not_shown_though_the_server_echoes_them(
    tool: Tool, provider: OpenIdProvider
) -> None:
    for name in ("code", "code_verifier", "client_assertion"):
        for as_reason in (False, True):
            with_echo(provider, name, as_reason=as_reason)
            result = tool.log_in()
            assert result.code in (4, 5), result.stderr
            form = provider.forms("authorization_code")[-1]
            assert_unseen(
                result.stderr, form["code"], form["code_verifier"], form["client_assertion"].rpartition(".")[2]
            )


def with_echo(provider: OpenIdProvider, name: str, *, as_reason: bool) -> None:
    """Have the token endpoint repeat a member of the form that it is sent next."""

    class Echo(list[tuple[int, bytes]]):
        def pop(self, index: object = 0) -> tuple[int, bytes]:
            del index
            self.clear()
            value = provider.log[-1].values[name]
            provider.reason = f"No {value}" if as_reason else None
            return 400, json.dumps({"error": "invalid_grant", "error_description": f"no {value}"}).encode()

    provider.reason = None
    provider.failures = Echo([(0, b"")])


def test_refresh_token_is_not_shown_though_the_server_echoes_it(tool: Tool, provider: OpenIdProvider) -> None:
    for as_reason in (False, True):
        provider.reason = None
        assert tool.log_in().code == 0
        grow_older(3600)
        with_echo(provider, "refresh_token", as_reason=as_reason)
        result = tool.run("token", "-v", "--no-cache")
        assert result.code == 4
        assert_unseen(result.stderr, *provider.refresh_tokens)
        assert "refresh-" not in kept()[0].read_text()


def test_token_response_that_cannot_be_used_is_not_shown(tool: Tool, provider: OpenIdProvider) -> None:
    for body in (
        b'{"access_token": "access-7f3b5c29", "refresh_token": "refresh-9d1e44aa", "token_type": "mac"}',
        b'{"access_token": 7, "refresh_token": "refresh-9d1e44aa", "token_type": "Bearer"}',
        b'{"access_token": "access-7f3b5c29", "refresh_token": "refresh-9d1e44aa"',
    ):
        provider.failures = [(200, body)]
        result = tool.log_in()
        assert result.code in (5, 6)
        assert result.stdout == ""
        assert_unseen(result.stderr, "access-7f3b5c29", "refresh-9d1e44aa")


def test_nothing_that_holds_a_secret_shows_it_by_its_repr() -> None:
    held = (
        ClientSecret(CLIENT_ID, SECRET, POST),
        ClientSecret(CLIENT_ID, SECRET, POST).apply((), Run()),
        Authenticated((("client_secret", SECRET),), (("authorization", SECRET),)),
        SecretSource("a file", lambda: SECRET),
    )
    assert not any(SECRET in repr(each) for each in held)


def test_login_at_rest_holds_no_client_secret(with_secret: Tool) -> None:
    assert with_secret.log_in().code == 0
    assert SECRET not in kept()[0].read_text()
    assert session()["provider"]["method"] == BASIC


def test_renewal_by_another_proof_than_the_logins_is_refused_before_the_refresh_token_is_used(
    with_secret: Tool, provider: OpenIdProvider, rsa_pem: Path
) -> None:
    assert with_secret.log_in().code == 0
    grow_older(3600)
    before = session()
    with_secret.client = ["--client-id", CLIENT_ID, "--private-key", str(rsa_pem)]
    result = with_secret.run("token", "--no-cache")
    assert (result.code, result.stdout) == (2, "")
    assert "give the same as at the login" in one_line(result.stderr)
    assert not provider.uses
    assert session() == before


def test_token_that_is_still_good_needs_neither_key_nor_secret(bare: Tool, secret_file: Path) -> None:
    assert bare.log_in("--client-secret-file", str(secret_file)).code == 0
    secret_file.unlink()
    assert bare.run("token").code == 0
    grow_older(3600)
    assert bare.run("token", "--no-cache").code == 2


@pytest.mark.parametrize("aud", [None, "https://bank.example", "https://bank.example/token"])
def test_an_assertion_for_the_issuer_or_the_token_endpoint_is_allowed_and_carries_no_request(
    aud: str | None, ec_pem: Path
) -> None:
    config = ClientConfig(CLIENT_ID, KeySource.file(ec_pem), aud=aud, resource=("urn:a",), params=(("b", "c"),))
    key = Key(config, load_signer(config))
    issuer, endpoint = "https://bank.example", "https://bank.example/token"
    chosen = choose(Client(CLIENT_ID), key, ["private_key_jwt"], issuer, endpoint, Run())
    assert isinstance(chosen, SignedJwt)
    assert (chosen.config.scope, chosen.config.resource, chosen.config.params) == ((), (), ())
    assert (chosen.config.issuer, chosen.config.token_endpoint) == (issuer, endpoint)
