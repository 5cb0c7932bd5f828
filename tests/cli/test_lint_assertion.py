"""``banno-creds lint-assertion`` as people have it: what they paste, what they give besides, and what they see."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import sys
import threading
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import trustme

from banno_creds.client_authentication.client_assertion import sign
from banno_creds.client_authentication.signer import KeySigner
from banno_creds.jose import keys
from banno_creds.rules.findings import Finding, Rule
from tests.conftest import CLIENT_ID, How, write_private
from tests.jwts import NOW, jwt
from tests.rules.assertions import ABSENT, CLAIMS, ENDPOINT, ISSUER, ORDER, PROVIDER_TOKEN, changed, echoes
from tests.seen import FOLDER, compare, program
from tests.servers.loopback import Says
from tests.servers.raw import RawServer, reply, sends
from tests.terminal import at_terminal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.conftest import Cli, Result
    from tests.servers.scripted import ScriptedServer

pytestmark = pytest.mark.once

CLIENT_RULES = ["client_id.malformed", "client_id.placeholder", "client_id.case"]
KEY_RULES = [
    *("registration.private_key", "registration.unreadable", "registration.key.type", "registration.key.size"),
    "registration.kid.repeated",
]


@pytest.fixture
def lint(cli: Cli, how: How) -> Cli:
    """The command in this process, at a fixed time, waiting for nothing."""
    how.clock = lambda: NOW
    how.sleep = lambda _: None

    def call(*args: str | Path, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Result:
        return cli("lint-assertion", *args, stdin=stdin, env=env)

    return call


@pytest.fixture
def made(rsa_key: keys.PrivateKey) -> str:
    """An assertion as other code makes it, with nothing wrong."""
    return make(rsa_key)


@pytest.fixture
def public(tmp_path: Path, rsa_key: keys.PrivateKey) -> Path:
    path = tmp_path / "public.pem"
    path.write_bytes(rsa_key.public.pem())
    return path


def make(key: keys.PrivateKey, header: Mapping[str, Any] | None = None, alg: str | None = None, **claims: Any) -> str:
    alg = alg or ("PS256" if key.type == "RSA" else "ES256")
    return sign({"alg": alg, **(header or {})}, changed(CLAIMS, claims), KeySigner(key, alg))


def jwks_of(key: keys.PrivateKey, **more: Any) -> bytes:
    return json.dumps({"keys": [{**key.public.jwk(), **more}]}).encode()


def judged(result: Result) -> dict[str, Finding]:
    """The findings of ``-o json``, by their rules."""
    members = json.loads(result.stdout)
    assert list(members) == ["version", "verdict", "findings"]
    assert members["version"] == 1
    by_rule = {finding["rule"]: Finding(**finding) for finding in members["findings"]}
    assert len(by_rule) == len(members["findings"])
    assert (members["verdict"] == "fail") == (result.code == 6)
    assert members["verdict"] in ("pass", "fail")
    return by_rule


def faults(result: Result) -> list[str]:
    return [rule for rule, finding in judged(result).items() if finding.verdict in ("fail", "warn")]


def unknown(result: Result) -> list[str]:
    return [rule for rule, finding in judged(result).items() if finding.verdict == "unknown"]


TYPE = f"client_assertion_type={quote('urn:ietf:params:oauth:client-assertion-type:jwt-bearer', safe='')}"

# ── What is pasted ──────────────────────────────────────────────────────────────────────────────────────────────


def test_assertion_is_an_argument_or_standard_input_or_a_file(lint: Cli, made: str, tmp_path: Path) -> None:
    file = tmp_path / "assertion.jwt"
    file.write_text(made + "\n")
    expected = lint(made)
    assert (expected.code, expected.stderr) == (0, "")
    assert lint("-", stdin=made.encode()) == expected
    assert lint(stdin=made.encode()) == expected
    with_line_end = lint("--file", file)
    assert with_line_end == lint("--file", "-", stdin=f"{made}\r\n".encode())
    # Noted, for `curl --data-urlencode client_assertion@file` would send it; no more, for so sign-jwt writes it.
    note = ", and a line end after it, which is not to be sent"
    assert note not in expected.stdout
    assert (with_line_end.code, with_line_end.stdout.replace(note, "")) == (0, expected.stdout)


@pytest.mark.parametrize(
    "at", ["now", " NOW ", str(NOW), f"{NOW}.5", "2026-11-21T16:00:01Z", "2026-11-21 16:00:01 UTC"]
)
def test_a_time_can_be_given_as_people_and_logs_write_it(lint: Cli, made: str, at: str) -> None:
    assert faults(lint("-o", "json", "--at", at, made)) == []
    assert faults(lint("-o", "json", made, env={"BANNO_CREDS_LINT_ASSERTION_AT": at})) == []


def test_an_assertion_is_judged_at_the_time_that_was_given(lint: Cli, made: str, how: How) -> None:
    how.clock = lambda: NOW + 90_000  # a day later
    assert faults(lint("-o", "json", made)) == ["assertion.exp.past"]
    result = lint("-o", "json", "--at", f"{NOW + 20}", made)
    assert (result.code, faults(result)) == (0, [])
    shown = lint("--at", f"{NOW + 90}", made).stdout
    assert "ago at the given time" in shown
    assert f"the given time is {NOW + 90}" in shown
    assert "this clock" not in shown
    assert "ahead at the given time" in lint("--at", f"{NOW - 9000}", made).stdout
    for zone in ("2026-11-21T17:00:01+01:00", "2026-11-21T11:00:01-05:00"):
        assert lint("--at", zone, made).code == 0


def test_an_old_assertion_may_be_from_a_log(lint: Cli, made: str, how: How) -> None:
    how.clock = lambda: NOW + 90_000
    for result in (lint(made), lint("-o", "json", made)):
        assert "--at TIME" in result.stdout
        assert "--at TIME" in result.stderr
    assert "--at TIME" not in lint("--at", "now", made).stdout


def test_iss_and_sub_that_differ_are_both_suspected_until_the_client_id_is_given(
    lint: Cli, rsa_key: keys.PrivateKey
) -> None:
    made = make(rsa_key, sub="service-user@acme")
    alone = judged(lint(made, "-o", "json"))["assertion.iss.mismatch"]
    assert alone.received == f'"iss" "{CLIENT_ID}", and "sub" "service-user@acme"'
    assert "set both iss and sub to the client ID" in alone.fix
    assert faults(lint(made, "--client-id", CLIENT_ID, "-o", "json")) == ["assertion.sub.mismatch"]


@pytest.mark.parametrize(
    ("claims", "args", "left"),
    [
        ({}, (), "which key the bank has (--public-key), then at what the server says: banno-creds doctor"),
        ({"aud": ISSUER}, (), "the warnings, then at which key the bank has (--public-key), then at what the"),
        ({}, ("--public-key", "public.pem"), "what the server says: banno-creds doctor"),
    ],
)
def test_a_run_without_a_fault_says_so_and_what_is_left(
    lint: Cli,
    rsa_key: keys.PrivateKey,
    public: Path,
    monkeypatch: pytest.MonkeyPatch,
    claims: Mapping[str, Any],
    args: tuple[str, ...],
    left: str,
) -> None:
    monkeypatch.chdir(public.parent)
    seen = lint(make(rsa_key, **claims), *args)
    assert seen.code == 0
    assert f"Nothing in it would be refused, as far as can be told. If it is, look at {left}" in seen.stdout
    assert "Nothing in it" not in lint(make(rsa_key, exp=5), *args).stdout


def test_an_issuer_as_aud_is_a_warning_with_its_fix(lint: Cli, rsa_key: keys.PrivateKey) -> None:
    finding = judged(lint(make(rsa_key, aud=ISSUER), "-o", "json"))["assertion.aud.mismatch"]
    assert (finding.verdict, finding.reason) == ("warn", "")
    assert finding.received.startswith(f'"aud" "{ISSUER}": it may be the issuer')
    assert finding.expected == f'"{ENDPOINT}", which every server takes'
    assert finding.fix.startswith("set aud to ")


@pytest.mark.parametrize(
    ("at", "why"),
    [
        (f"{NOW}000", "milliseconds"),
        ("2026-11-25 20:35:00", "no time zone: write it as 2026-11-25T20:35:00Z if"),
        ("2026-11-21", "no time zone"),
        ("yesterday", "write it as"),
        ("", "write it as"),
        ("-5", "write it as"),
        ("9999999999999999999999", "milliseconds"),
        ("1969-01-01T00:00:00Z", "before 1970"),
        ("1960-01-01 00:00:00", "before 1970"),
        ("0001-01-01T00:00:00+14:00", "before 1970"),
    ],
)
def test_what_is_no_time_is_said(lint: Cli, made: str, at: str, why: str) -> None:
    result = lint("--at", at, made)
    assert (result.code, result.stdout) == (2, "")
    assert why in result.stderr


def test_what_was_taken_off_to_read_it_is_a_warning(lint: Cli, made: str, public: Path) -> None:
    for text in (f'"{made}"', f"Bearer {made}\n", f"{made[:70]}\n{made[70:]}", f"\ufeff{made}"):
        result = lint("--public-key", public, "-o", "json", stdin=text.encode())
        assert (result.code, faults(result)) == (0, ["assertion.malformed"])
        assert judged(result)["assertion.signature.invalid"].verdict == "pass"


@pytest.mark.parametrize(
    "dress",
    [
        lambda made: f"grant_type=client_credentials&client_assertion={made}&scope=openid&{TYPE}",
        lambda made: f"grant_type=client_credentials&scope=a%20b&{TYPE}&client_assertion={made}",
        lambda made: (
            f"client_assertion={made.replace('.', '%2E').replace('-', '%2D')}&grant_type=client_credentials&{TYPE}"
        ),
        lambda made: f"POST /token HTTP/1.1\nHost: x\n\nclient_assertion={made}&grant_type=client_credentials&{TYPE}",
        lambda made: f"curl -d '{TYPE}' -d client_assertion={made} -d grant_type=client_credentials https://x/token",
    ],
    ids=["form", "form, type first", "encoded", "HTTP", "curl"],
)
def test_assertion_is_found_in_what_was_pasted(lint: Cli, made: str, public: Path, dress: Any) -> None:
    result = lint("--public-key", public, "-o", "json", stdin=dress(made).encode())
    assert (result.code, faults(result)) == (0, [])
    assert judged(result)["assertion.signature.invalid"].verdict == "pass"


def test_other_parameters_of_a_form_are_judged_too(lint: Cli, made: str) -> None:
    form = f"client-assertion-type=x&client_assertion={made}&client_secret=hush&client_id=other"
    result = lint("-o", "json", stdin=form.encode())
    rules = [
        *("request.client_authentication.several", "request.client_assertion_type.missing"),
        *("request.client_id.mismatch", "request.grant_type.missing"),
    ]
    assert (result.code, faults(result)) == (6, rules)
    assert result.stderr.startswith(f"✗   The server would refuse this: {rules[0]}, the first of 4 reasons\n")
    assert "hush" not in result.stdout + result.stderr


def test_argument_that_a_shell_took_apart_is_put_together(lint: Cli, made: str) -> None:
    pieces = [made[i : i + 76] for i in range(0, len(made), 76)]
    # By chance a piece begins with a dash, which would be an option.
    pieces = "\n".join(pieces).replace("\n-", "-").split("\n")
    assert lint(*pieces).code == 0


def test_utf_16_of_powershell_is_read(lint: Cli, made: str) -> None:
    assert lint(stdin=made.encode("utf-16")).code == 0


PASTED = {
    "access token": (jwt({**PROVIDER_TOKEN, "exp": NOW + 600}), "assertion.token"),
    "token response": (json.dumps({"access_token": jwt(PROVIDER_TOKEN), "expires_in": 600}), "assertion.token"),
    "ID token": (jwt({"iss": ISSUER, "sub": "u", "aud": CLIENT_ID, "nonce": "n"}), "assertion.token"),
    "JWE": (f"{jwt({}, {'alg': 'RSA-OAEP', 'enc': 'A256GCM'})}.YQ.Yg", "assertion.malformed"),
    "opaque text": ("b5f2ef3e0d1c4c0e9a8b7f6e5d4c3b2a", "assertion.malformed"),
    "two parts": (jwt(CLAIMS).rpartition(".")[0], "assertion.malformed"),
    "refusal": ('{"error": "invalid_client"}', "assertion.malformed"),
    "HTML": ("<html><body>Sign in</body></html>", "assertion.malformed"),
    "nothing": ("", "assertion.malformed"),
    "too large": ("x" * (1024 * 1024 + 1), "assertion.malformed"),
    "control characters": ("\x1b[31m\x00\x07", "assertion.malformed"),
}


@pytest.mark.parametrize(("text", "rule"), PASTED.values(), ids=PASTED)
def test_what_is_no_assertion_is_said_to_be_none(lint: Cli, text: str, rule: str) -> None:
    result = lint("-o", "json", stdin=text.encode())
    assert (result.code, faults(result)) == (6, [rule])
    assert f"banno-creds explain {rule}" in result.stderr
    seen = lint(stdin=text.encode())
    assert seen.code == 6
    assert seen.stdout.startswith(f"✗   form            {rule}\n")
    assert "To tell more" not in seen.stdout
    assert all(character.isprintable() for character in (seen.stdout + seen.stderr).replace("\n", ""))


@pytest.mark.parametrize(
    "form",
    [
        "PEM",
        "encrypted PEM",
        "escaped PEM",
        "public and private PEM",
        "JWK",
        "JWK Set",
        "base64 of DER",
        "base64 of PEM",
    ],
)
def test_private_key_is_said_to_be_leaked_and_never_shown(lint: Cli, form: str) -> None:
    key = keys.generate("ec")
    pem = key.pem().decode()
    text = {
        "PEM": pem,
        "encrypted PEM": key.pem(b"passphrase").decode(),
        "escaped PEM": pem.replace("\n", "\\n"),
        "JWK": json.dumps({**key.public.jwk(), "d": "AQAB" * 10}),
        "JWK Set": json.dumps({"keys": [{**key.public.jwk(), "d": "AQAB" * 10}]}),
        "public and private PEM": key.public.pem().decode() + pem,
        "base64 of PEM": b64encode(pem.encode()).decode(),
        "base64 of DER": "".join(pem.splitlines()[1:-1]),
    }[form]
    for result in (lint(stdin=text.encode()), lint("-o", "json", stdin=text.encode())):
        assert result.code == 6
        said = result.stdout + result.stderr
        assert not echoes(said, text.replace("-----", ""))
        assert "AQABAQAB" not in said
        assert "assertion.private_key" in said
        assert "treat this key as leaked" in said


# ── What is given besides ───────────────────────────────────────────────────────────────────────────────────────


def test_assertion_alone_is_judged_as_far_as_it_goes(lint: Cli, made: str) -> None:
    result = lint(made, "-o", "json")
    assert list(judged(result)) == ORDER
    assert (result.code, faults(result), result.stderr) == (0, [], "")
    assert unknown(result) == [
        *("assertion.sub.mismatch", "assertion.alg.key_mismatch", "assertion.signature.invalid"),
        "assertion.jti.replayed",
    ]


def test_everything_given_leaves_open_what_the_server_alone_knows(lint: Cli, made: str, public: Path) -> None:
    result = lint(made, "--client-id", CLIENT_ID, "--public-key", public, "-o", "json")
    assert list(judged(result)) == [*CLIENT_RULES, *KEY_RULES, *ORDER]
    assert (result.code, faults(result), unknown(result)) == (0, [], ["assertion.jti.replayed"])


@pytest.mark.parametrize("alg", ["PS256", "RS256", "ES256"])
@pytest.mark.parametrize("kid", [None, "k1"])
def test_correct_assertion_of_every_alg_and_registration_gives_no_finding(
    lint: Cli, tmp_path: Path, rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey, alg: str, kid: str | None
) -> None:
    key = ec_key if alg == "ES256" else rsa_key
    public = tmp_path / "registered"
    public.write_bytes(key.public.pem() if kid is None else jwks_of(key, kid=kid))
    made = make(key, {} if kid is None else {"kid": kid}, alg)
    for option in ("--public-key", "--jwks"):
        result = lint(made, "--client-id", CLIENT_ID, option, public, "-o", "json")
        assert (result.code, faults(result), unknown(result)) == (0, [], ["assertion.jti.replayed"])


def test_client_id_is_held_against_sub_and_iss(lint: Cli, made: str, rsa_key: keys.PrivateKey) -> None:
    result = lint(made, "--client-id", "0oa1example", "-o", "json")
    assert (result.code, faults(result)) == (6, ["assertion.sub.mismatch", "assertion.iss.mismatch"])
    assert judged(result)["assertion.sub.mismatch"].expected == '"0oa1example", the client ID'
    assert faults(lint(make(rsa_key, iss="other"), "-o", "json")) == ["assertion.iss.mismatch"]


def test_client_id_is_judged_by_itself(lint: Cli, made: str) -> None:
    result = lint(made, "--client-id", f"“{CLIENT_ID}”", "-o", "json")
    assert result.code == 6
    assert faults(result)[0] == "client_id.malformed"
    assert faults(lint(made, "--client-id", "YOUR_CLIENT_ID", "-o", "json"))[0] == "client_id.placeholder"
    assert faults(lint(made, "--client-id", CLIENT_ID.upper(), "-o", "json"))[0] == "client_id.case"


def test_client_id_comes_from_the_environment_and_the_profile_too(lint: Cli, made: str, tmp_path: Path) -> None:
    assert lint(made, env={"BANNO_CREDS_CLIENT_ID": "0oa1example"}).code == 6
    config = tmp_path / "config.toml"
    config.write_text('[profiles.p]\nclient_id = "0oa1example"\ntoken_endpoint = "https://x.example/token"\n')
    result = lint(made, "--config", config, "--profile", "p", "-o", "json")
    rules = ["assertion.sub.mismatch", "assertion.iss.mismatch", "assertion.aud.mismatch"]
    assert (result.code, faults(result)) == (6, rules)


def test_aud_is_held_against_the_token_endpoint(lint: Cli, made: str, rsa_key: keys.PrivateKey) -> None:
    assert faults(lint(made, "--token-endpoint", ENDPOINT, "-o", "json")) == []
    assert faults(lint(made, "--environment", "production", "-o", "json")) == []
    legacy = lint(made, "--environment", "legacy", "-o", "json")
    finding = judged(legacy)["assertion.aud.mismatch"]
    assert (legacy.code, finding.verdict) == (6, "fail")
    assert finding.received == f'"aud" "{ENDPOINT}": the token endpoint of the environment production'
    slash = lint(make(rsa_key, aud=ENDPOINT + "/"), "-o", "json")
    assert faults(slash) == ["assertion.aud.mismatch"]
    assert judged(slash)["assertion.aud.mismatch"].expected == f'"{ENDPOINT}", to the character'


def test_public_key_is_held_against_the_signature(
    lint: Cli, made: str, public: Path, rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey
) -> None:
    other = public.with_name("other.pem")
    other.write_bytes(keys.generate("rsa").public.pem())
    assert faults(lint(made, "--public-key", other, "-o", "json")) == ["assertion.signature.invalid"]
    other.write_bytes(ec_key.public.pem())
    assert faults(lint(made, "--public-key", other, "-o", "json")) == ["assertion.alg.key_mismatch"]
    with_kid = make(rsa_key, {"kid": "k1"})
    assert faults(lint(with_kid, "--public-key", public, "-o", "json")) == ["assertion.kid.unexpected"]


def test_jwks_is_held_against_kid_and_signature(
    lint: Cli, made: str, tmp_path: Path, rsa_key: keys.PrivateKey
) -> None:
    jwks = tmp_path / "jwks.json"
    jwks.write_bytes(jwks_of(rsa_key, kid="k1"))
    assert faults(lint(make(rsa_key, {"kid": "k1"}), "--jwks", jwks, "-o", "json")) == []
    assert faults(lint(make(rsa_key, {"kid": "k2"}), "--jwks", jwks, "-o", "json")) == ["assertion.kid.unknown"]
    assert faults(lint(made, "--jwks", jwks, "-o", "json")) == []


def test_registered_key_is_judged_too(lint: Cli, made: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"<html>")
    result = lint(made, "--public-key", path, "-o", "json")
    assert (result.code, faults(result)) == (6, ["registration.unreadable"])
    assert result.stderr.startswith(
        "✗   The registered key is wrong: registration.unreadable\n    Next: give the PEM"
    )
    assert judged(result)["assertion.signature.invalid"].reason == "no registered key can be used"


def test_private_key_in_the_place_of_the_registered_one_is_leaked(
    lint: Cli, made: str, rsa_key: keys.PrivateKey, tmp_path: Path
) -> None:
    path = write_private(tmp_path / "private.pem", rsa_key.pem())
    result = lint(made, "--public-key", path, "-o", "json")
    assert (result.code, faults(result)) == (6, ["registration.private_key"])
    assert "treat this key as leaked" in judged(result)["registration.private_key"].fix
    assert re.search("Next: .*treat this key as leaked", result.stderr)
    assert not echoes(result.stdout + result.stderr, "".join(rsa_key.pem().decode().splitlines()[1:-1]))


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"scope": "openid"}, 0),
        ({"iat": NOW + 60}, 0),
        ({"aud": [ENDPOINT]}, 0),
        ({"exp": NOW - 60}, 6),
        ({"exp": (NOW + 60) * 1000}, 6),
        ({"exp": NOW + 600}, 6),
        ({"exp": str(NOW + 60)}, 6),
        ({"exp": ABSENT}, 6),
        ({"jti": ABSENT}, 6),
        ({"jti": ""}, 6),
        ({"nbf": NOW + 60}, 6),
        ({"sub": ABSENT}, 6),
    ],
)
def test_warnings_alone_are_exit_code_0_and_a_fault_is_6(
    lint: Cli, rsa_key: keys.PrivateKey, claims: Mapping[str, Any], code: int
) -> None:
    made = make(rsa_key, **claims)
    result = lint(made, "-o", "json")
    assert result.code == code
    assert len(faults(result)) == 1
    seen = lint(made)
    assert seen.code == code
    assert (seen.stdout.count("✗"), seen.stdout.count("!")) == ((0, 1) if code == 0 else (1, 0))
    if code == 0:
        assert (result.stderr, seen.stderr) == ("", "")


def test_several_reasons_are_counted_and_the_server_s_first_is_named(lint: Cli, rsa_key: keys.PrivateKey) -> None:
    result = lint(make(rsa_key, aud="x", exp=NOW - 60, jti=ABSENT, scope="openid"), "-o", "json")
    assert faults(result) == [
        *("assertion.jti.missing", "assertion.aud.mismatch", "assertion.exp.past", "assertion.claims.unexpected")
    ]
    assert result.stderr.startswith(
        "✗   The server would refuse this: assertion.jti.missing, the first of 3 reasons\n    Next: "
    )
    fix = judged(result)["assertion.jti.missing"].fix
    assert result.stderr.endswith(f"    Next: {fix}; more: banno-creds explain assertion.jti.missing\n")


def test_the_reason_that_is_named_stands_first_in_the_table(lint: Cli, rsa_key: keys.PrivateKey) -> None:
    made = make(rsa_key, {"kid": "k1"}, aud="x", exp=(NOW + 60) * 1000, jti=ABSENT, scope="openid")
    result = lint(made)
    rows = re.findall(r"^([✗✓!?])   .{16}(\S+)", result.stdout, re.MULTILINE)
    wrong = [rule for mark, rule in rows if mark == "✗"]
    assert wrong == ["assertion.jti.missing", "assertion.aud.mismatch", "assertion.exp.milliseconds"]
    assert [mark for mark, _ in rows[:3]] == ["✗"] * 3
    assert f"The server would refuse this: {wrong[0]}, the first of 3 reasons" in result.stderr
    # For machines they stay in the server's order, the passed ones among them.
    assert [rule for rule in judged(lint(made, "-o", "json")) if rule in ORDER] == ORDER


def test_member_names_of_the_json_are_stable(lint: Cli, made: str) -> None:
    findings = json.loads(lint(made, "-o", "json").stdout)["findings"]
    assert {tuple(finding) for finding in findings} == {
        ("rule", "verdict", "looks_at", "received", "expected", "fix", "reason")
    }
    assert {finding["verdict"] for finding in findings} == {"pass", "unknown"}
    assert {finding["rule"] for finding in findings} <= set(Rule)
    assert all(isinstance(value, str) for finding in findings for value in finding.values())


def test_json_is_one_line(lint: Cli, made: str) -> None:
    assert lint(made, "-o", "json").stdout.count("\n") == 1


# ── What is fetched, and what is not sent ───────────────────────────────────────────────────────────────────────


def test_nothing_is_sent_to_the_token_endpoint(lint: Cli, rsa_key: keys.PrivateKey, server: ScriptedServer) -> None:
    server.says(Says())
    for made in (make(rsa_key, aud=server.url), make(rsa_key), "opaque"):
        for output in ("text", "json"):
            lint(made, "--token-endpoint", server.url, "--client-id", CLIENT_ID, "-o", output)
    assert lint(make(rsa_key, aud=server.url), "--token-endpoint", server.url).code == 0
    assert server.requests == []


def test_issuer_is_asked_for_its_token_endpoint_and_is_an_audience_itself(
    lint: Cli, rsa_key: keys.PrivateKey, server: ScriptedServer
) -> None:
    issuer = server.url.removesuffix("/token")
    server.says(Says(body=json.dumps({"issuer": issuer, "token_endpoint": server.url}).encode()))
    for aud, rules in ((server.url, []), (issuer, ["assertion.aud.mismatch"])):
        result = lint(make(rsa_key, aud=aud), "--issuer", issuer, "-o", "json")
        assert (result.code, faults(result)) == (0, rules)
    assert judged(result)["assertion.aud.mismatch"].verdict == "warn"
    result = lint(make(rsa_key), "--issuer", issuer, "-o", "json")
    assert judged(result)["assertion.aud.mismatch"].expected == f'"{server.url}", to the character'
    assert {(request.method, request.path) for request in server.requests} == {
        ("GET", "/.well-known/openid-configuration")
    }


def test_jwks_is_fetched_from_its_url(lint: Cli, rsa_key: keys.PrivateKey, server: ScriptedServer) -> None:
    server.says(Says(body=jwks_of(rsa_key, kid="k1")))
    url = server.url.replace("/token", "/jwks")
    result = lint(make(rsa_key, {"kid": "k1"}), "--jwks", url, "-o", "json")
    assert faults(result) == []
    assert judged(result)["assertion.signature.invalid"].received == f'verified with RSA 2048, kid "k1" from {url}'
    made = make(keys.generate("rsa"), {"kid": "k1"})
    assert faults(lint(made, "--jwks", url, "-o", "json")) == ["assertion.signature.invalid"]
    assert [(request.method, request.path) for request in server.requests] == [("GET", "/jwks")] * 2
    # Nothing of the assertion is in the request.
    assert not any(made[-40:] in str(request) for request in server.requests)


@pytest.mark.parametrize(
    "says",
    [
        Says(503),
        Says(404),
        Says(302, headers={"location": "https://login.example/"}),
        Says(body=b"<html>Sign in</html>", headers={"content-type": "text/html"}),
        Says(body=b"[]"),
    ],
    ids=["503", "404", "redirect", "HTML", "array"],
)
@pytest.mark.parametrize("option", ["--jwks", "--issuer"])
def test_what_cannot_be_fetched_is_exit_code_5(
    lint: Cli, made: str, server: ScriptedServer, says: Says, option: str
) -> None:
    server.says(says)
    result = lint(made, option, server.url, "-o", "json")
    assert (result.code, result.stdout) == (5, "")
    assert result.stderr.startswith("✗   ")
    assert made[:30] not in result.stderr


def test_jwks_that_is_not_there_is_the_registration_s_fault_and_not_the_server_s(
    lint: Cli, made: str, server: ScriptedServer
) -> None:
    server.says(Says(404))
    result = lint(made, "--jwks", server.url)
    assert "banno-creds explain registration.unreachable" in result.stderr
    assert "discovery.jwks" not in result.stderr


def test_server_that_is_not_there_is_exit_code_5(lint: Cli, made: str) -> None:
    result = lint(made, "--jwks", "http://127.0.0.1:1/jwks")
    assert (result.code, result.stdout) == (5, "")
    assert "127.0.0.1:1 refused the connection" in result.stderr


def test_ca_bundle_is_trusted_for_what_is_fetched(
    lint: Cli, made: str, rsa_key: keys.PrivateKey, tmp_path: Path
) -> None:
    authority = trustme.CA()
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with RawServer(sends(reply(jwks_of(rsa_key))), context) as server:
        distrusted = lint(made, "--jwks", server.url())
        assert (distrusted.code, distrusted.stdout) == (5, "")
        assert "is not trusted" in distrusted.stderr
        assert faults(lint(made, "--jwks", server.url(), "--ca-bundle", bundle, "-o", "json")) == []


def test_time_out_ends_what_is_fetched(lint: Cli, made: str) -> None:
    answering = threading.Event()

    def says_nothing(*_: object) -> None:
        answering.wait(60)

    with RawServer(says_nothing) as server:
        result = lint(made, "--jwks", server.url(), "--timeout", "0.5")
        answering.set()
    assert (result.code, result.stdout) == (5, "")
    assert "0.5 s" in result.stderr


# ── What cannot be meant ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--jwks", "missing.json"], "No such file: missing.json"),
        (["--public-key", "missing.pem"], "No such file: missing.pem"),
        (["--file", "missing.jwt"], "An assertion and --file exclude each other"),
        (["--public-key", "https://example.com/jwks"], "Next: give the URL as --jwks URL"),
        (["--public-key", "http://127.0.0.1:1/jwks"], "--public-key takes a file, and this is a URL"),
        (["--public-key", "a", "--jwks", __file__], "--public-key and --jwks exclude each other"),
        (["--token-endpoint", "http://example.com/token"], "plain http is for loopback only"),
        (["--issuer", "example.com"], "it does not start with https://"),
        (["--jwks", "http://example.com/jwks"], "plain http is for loopback only"),
        (["--timeout", "0"], "--timeout must be more than 0 s"),
        (["--jwks", "https://127.0.0.1:1/jwks", "--ca-bundle", "missing.pem"], "The CA bundle missing.pem"),
        (["--issuer", "https://a.example", "--token-endpoint", "https://a.example/token"], "--issuer"),
        (["-o", "xml"], "xml"),
        (["--private-key", "a"], "--private-key"),
    ],
    ids=lambda value: " ".join(value).replace(__file__, "FILE") if isinstance(value, list) else "",
)
def test_what_cannot_be_meant_is_exit_code_2(lint: Cli, made: str, args: list[str], words: str) -> None:
    result = lint(made, *args)
    assert (result.code, result.stdout) == (2, "")
    assert words.lower() in result.stderr.lower()
    assert made[:30] not in result.stderr


def test_file_that_is_given_as_the_assertion_is_read(lint: Cli, made: str, tmp_path: Path) -> None:
    file = tmp_path / "assertion.jwt"
    file.write_text(made)
    result = lint(file)
    assert result == lint("--file", file)
    assert result.code == 0
    assert lint("--file", file.with_name("missing.jwt")).code == 2


# ── Streams ─────────────────────────────────────────────────────────────────────────────────────────────────────

ARGUMENTS = ["lint-assertion", "--file", "assertion.jwt", "--client-id", CLIENT_ID, "--public-key", "public.pem"]


@pytest.fixture
def place(tmp_path: Path, rsa_key: keys.PrivateKey, public: Path) -> Path:
    """A folder with an assertion that is correct and one that is not."""
    folder = public.parent
    (folder / "assertion.jwt").write_text(make(rsa_key))
    faulty = make(
        rsa_key, {"kid": "k1"}, aud=ENDPOINT + "/", exp=(NOW + 60) * 1000, iat=NOW + 3600, scope="openid", jti=ABSENT
    )
    (folder / "faulty.jwt").write_text(faulty)
    return folder


def shell(command: str, *args: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a shell command in which ``"$@"`` is the program."""
    return subprocess.run(
        ["sh", "-c", command, "sh", sys.executable, *program(*args, folder=folder)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def faulty(arguments: list[str]) -> list[str]:
    return [argument.replace("assertion.jwt", "faulty.jwt") for argument in arguments]


@pytest.mark.posix("streams of a shell")
@pytest.mark.parametrize("output", ["text", "json"])
@pytest.mark.parametrize("arguments", [ARGUMENTS, faulty(ARGUMENTS)], ids=["correct", "faulty"])
@pytest.mark.parametrize(
    ("redirection", "words"),
    [(">/dev/full", "No space left on device"), (">&-", "it is closed")],
    ids=["full", "closed"],
)
def test_result_that_cannot_be_written_is_an_error_in_words(
    place: Path, redirection: str, words: str, arguments: list[str], output: str
) -> None:
    done = shell(f'"$@" {redirection}', *arguments, "-o", output, folder=place)
    said = (
        f"✗   The result could not be written to standard output: {words}\n"
        "    Next: check where standard output goes; the result is lost\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


@pytest.mark.parametrize("output", ["text", "json"])
@pytest.mark.parametrize("arguments", [ARGUMENTS, faulty(ARGUMENTS)], ids=["correct", "faulty"])
def test_reader_that_has_gone_is_no_failure_worth_words(place: Path, arguments: list[str], output: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, *program(*arguments, "-o", output, folder=place)],
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_reader_of_the_first_line_has_it(place: Path) -> None:
    with subprocess.Popen(
        [sys.executable, *program(*ARGUMENTS, folder=place)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline().decode() == f'✓   client ID       "{CLIENT_ID}"\n'
        running.stdout.close()
        assert running.stderr.read() == b""


@pytest.mark.posix("streams of a shell")
@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-"])
def test_error_that_nobody_can_read_costs_neither_result_nor_exit_code(place: Path, redirection: str) -> None:
    whole = shell('"$@"', *faulty(ARGUMENTS), folder=place)
    done = shell(f'"$@" {redirection}', *faulty(ARGUMENTS), folder=place)
    assert (done.returncode, done.stdout, done.stderr) == (6, whole.stdout, "")
    assert whole.stdout


@pytest.mark.posix("streams of a shell")
def test_standard_input_that_is_closed_is_exit_code_2(place: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", '"$@" <&-', "sh", sys.executable, *program("lint-assertion", folder=place)],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("✗   The assertion should come from standard input, which is closed\n")


# ── What people see ─────────────────────────────────────────────────────────────────────────────────────────────

TOKEN = jwt({**PROVIDER_TOKEN, "exp": NOW + 600, "aud": "https://banno.com"})
SEEN = {
    "correct": ARGUMENTS,
    "faulty": faulty(ARGUMENTS),
    "alone": ["lint-assertion", "--file", "assertion.jwt"],
    "jwks": ["lint-assertion", "--file", "kid.jwt", "--jwks", "jwks.json", "--client-id", CLIENT_ID],
    "other-key": ["lint-assertion", "--file", "assertion.jwt", "--public-key", "other.pem"],
    "warned": ["lint-assertion", "--file", "warned.jwt", "--client-id", CLIENT_ID],
    "token": ["lint-assertion", TOKEN],
    "private-key": ["lint-assertion", "--file", "private.pem"],
    "registered-private-key": ["lint-assertion", "--file", "assertion.jwt", "--public-key", "private.pem"],
    "client-id": ["lint-assertion", "--file", "assertion.jwt", "--client-id", f" {CLIENT_ID.upper()}"],
    "hostile": ["lint-assertion", "--file", "hostile.jwt"],
}


@pytest.fixture
def gallery(place: Path, rsa_key: keys.PrivateKey) -> Path:
    write_private(place / "private.pem", rsa_key.pem())
    (place / "other.pem").write_bytes(keys.generate("rsa").public.pem())
    (place / "jwks.json").write_bytes(jwks_of(rsa_key, kid="k1"))
    (place / "kid.jwt").write_text(make(rsa_key, {"kid": "k1"}))
    (place / "warned.jwt").write_text(make(rsa_key, scope="openid", iat=NOW + 60, aud=[ENDPOINT]))
    text = "\x1b[31m[red]x[/red]\u202e\r\nnext :smiley: \x9b2J" + "漢字" * 60
    claims: dict[str, Any] = {"sub": text, "jti": text, text: 1}
    (place / "hostile.jwt").write_text(make(rsa_key, {"kid": text}, **claims))
    return place


@pytest.mark.posix("a pseudo-terminal")
@pytest.mark.parametrize("name", SEEN)
def test_what_is_seen_at_a_terminal_of_80_columns(gallery: Path, name: str) -> None:
    arguments = program(*SEEN[name], folder=gallery)
    plain = at_terminal(*arguments, env={"NO_COLOR": "1"}, stdout=True, stderr=True)
    assert "\x1b" not in plain.screen
    compare(f"lint-{name}-terminal", plain.screen)
    coloured = at_terminal(*arguments, stdout=True, stderr=True)
    assert "\x1b" in coloured.screen
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured.screen) == plain.screen
    assert (coloured.code, plain.code) == (6 if "✗" in plain.screen else 0,) * 2


@pytest.mark.parametrize("name", SEEN)
def test_what_is_seen_in_a_pipe(gallery: Path, name: str) -> None:
    compare(f"lint-{name}-pipe", in_pipes(name, gallery))


@pytest.mark.parametrize("env", [{"NO_COLOR": "1", "FORCE_COLOR": "1"}, {"TERM": "dumb"}, {"COLUMNS": "40"}], ids=str)
def test_pipe_is_the_same_however_the_terminal_is(gallery: Path, env: Mapping[str, str]) -> None:
    compare("lint-faulty-pipe", in_pipes("faulty", gallery, **env))


def in_pipes(name: str, folder: Path, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, *program(*SEEN[name], folder=folder)],
        env=os.environ | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == (6 if done.stderr else 0)
    return f"{done.stdout.decode()}--- stderr, exit code {done.returncode}\n{done.stderr.decode()}"


def test_colours_are_those_of_the_verdicts(gallery: Path) -> None:
    compare("lint-faulty-colours", in_pipes("faulty", gallery, FORCE_COLOR="1", TERM="xterm-256color", COLORTERM=""))


def test_terminal_that_shows_ascii_only_is_served(gallery: Path) -> None:
    seen = in_pipes("faulty", gallery, PYTHONIOENCODING="ascii")
    assert seen.isascii()
    compare("lint-faulty-ascii", seen)


def test_every_stored_text_is_compared() -> None:
    names = {f"lint-{name}-{where}" for name in SEEN for where in ("terminal", "pipe")}
    stored = {path.stem for path in FOLDER.glob("lint-*.txt")}
    assert stored == names | {"lint-faulty-colours", "lint-faulty-ascii"}


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, banno_creds.cli.main as c\n"
        "c.run(['lint-assertion', '--help'])\n"
        "heavy = ('httpx', 'jwt', 'cryptography', 'rich', 'flask', 'authlib', 'tomlkit')\n"
        "sys.exit(', '.join(name for name in heavy if name in sys.modules) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "exit code is 0 if nothing is wrong" in done.stdout


def test_assertion_without_a_registration_loads_no_cryptography(place: Path) -> None:
    code = (
        "import sys, banno_creds.cli.main as c\n"
        "c.run(sys.argv[1:])\n"
        "heavy = ('httpx', 'jwt', 'cryptography')\n"
        "sys.exit(', '.join(name for name in heavy if name in sys.modules) or 0)"
    )
    arguments = ["lint-assertion", "--file", str(place / "assertion.jwt")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    assert "assertion." in done.stdout or "form" in done.stdout
    assert done.returncode == 0
