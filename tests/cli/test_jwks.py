"""``banno-creds jwks``: a set is built, changed and checked, and nothing private ever leaves."""

from __future__ import annotations

import json
import ssl
from base64 import b64encode
from typing import TYPE_CHECKING

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from banno_creds.cli import jwks as jwks_command
from banno_creds.jose.encoding import base64url
from banno_creds.jose.key_set import public_jwk
from banno_creds.sandbox import Sandbox
from tests.conftest import write_private
from tests.rules.odd_sets import certificate, jwk_of, jwks, mine
from tests.servers.files import FileServer
from tests.servers.loopback import Says
from tests.servers.tls import make_authority

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from banno_creds.jose import keys
    from tests.conftest import Cli
    from tests.servers.scripted import ScriptedServer

PASSPHRASE = b"correct horse"
PUBLISHED = {"content-type": "application/jwk-set+json", "cache-control": "max-age=3600"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey) -> Path:
    """A folder with keys in many forms, and a set of the RSA key."""
    monkeypatch.chdir(tmp_path)
    write_private(tmp_path / "rsa.pem", rsa_key.pem())
    write_private(tmp_path / "ec.pem", ec_key.pem())
    (tmp_path / "jwks.json").write_bytes(jwks(public_jwk(rsa_key.public, "PS256")))
    return tmp_path


def built(cli: Cli, *arguments: str | Path, stdin: bytes = b"") -> list[dict[str, str]]:
    done = cli("jwks", "build", *arguments, stdin=stdin)
    assert (done.code, done.stderr) == (0, "")
    made = json.loads(done.stdout)
    assert done.stdout == json.dumps(made, indent=2) + "\n"
    found: list[dict[str, str]] = made["keys"]
    return found


# --- build ---


FORMS: dict[str, Callable[[keys.PrivateKey], bytes]] = {
    "private": lambda key: key.pem(),
    "private in base64": lambda key: b64encode(key.pem()),
    "public": lambda key: key.public.pem(),
    "public in DER": lambda key: key.public.spki(),
    "JWK": lambda key: json.dumps(jwk_of(key)).encode(),
    "JWK Set": lambda key: jwks(jwk_of(key, kid="other")),
    "JWK Set with its private members": lambda key: jwks(jwk_of(key, d="AQAB")),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_the_public_half_of_any_form_of_a_key_makes_the_same_set(
    cli: Cli, here: Path, form: str, kind: str, rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey
) -> None:
    key = rsa_key if kind == "rsa" else ec_key
    file = write_private(here / "key", FORMS[form](key))
    assert built(cli, file) == [public_jwk(key.public, None if kind == "rsa" else "ES256")]


def test_a_certificate_makes_a_set(cli: Cli, here: Path) -> None:
    lines = "-----BEGIN CERTIFICATE-----\n" + certificate("ec") + "\n-----END CERTIFICATE-----\n"
    (here / "certificate.pem").write_text(lines)
    assert built(cli, "certificate.pem") == [public_jwk(mine("ec").public, "ES256")]


def test_several_keys_stand_in_their_order_each_once(
    cli: Cli, here: Path, rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey
) -> None:
    expected = [public_jwk(ec_key.public, "ES256"), public_jwk(rsa_key.public)]
    assert built(cli, "ec.pem", "rsa.pem", "ec.pem") == expected


def test_the_algorithm_is_named_if_asked_for_or_if_the_key_has_only_one(
    cli: Cli, here: Path, rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey
) -> None:
    assert [each.get("alg") for each in built(cli, "rsa.pem", "--alg", "RS256")] == ["RS256"]
    (here / "jwk.json").write_text(json.dumps(jwk_of(rsa_key, alg="RS256")))
    assert [each.get("alg") for each in built(cli, "jwk.json")] == ["RS256"]
    refused = cli("jwks", "build", "rsa.pem", "ec.pem", "--alg", "RS256")
    assert (refused.code, refused.stdout) == (2, "")
    assert "RS256 does not fit ec.pem" in refused.stderr
    refused = cli("jwks", "build", "jwk.json", "--alg", "PS256")
    assert (refused.code, refused.stdout) == (2, "")


def test_an_encrypted_key_is_opened_by_a_passphrase_file(cli: Cli, here: Path, rsa_key: keys.PrivateKey) -> None:
    write_private(here / "locked.pem", rsa_key.pem(PASSPHRASE))
    write_private(here / "locked-too.pem", mine("ec").pem(PASSPHRASE))
    write_private(here / "passphrase", PASSPHRASE + b"\n")
    both = ["locked.pem", "locked-too.pem", "--passphrase-file"]
    assert len(built(cli, *both, "passphrase")) == 2
    assert len(built(cli, *both, "-", stdin=PASSPHRASE)) == 2
    refused = cli("jwks", "build", "locked.pem")
    assert (refused.code, refused.stdout) == (3, "")
    assert "--passphrase-file" in refused.stderr


def test_a_key_comes_from_standard_input(cli: Cli, here: Path, rsa_key: keys.PrivateKey) -> None:
    assert built(cli, "-", stdin=rsa_key.public.pem()) == [public_jwk(rsa_key.public)]


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", 3, "holds no key"),
        (b"no key", 3, "holds no key"),
        (b'{"keys": [{"kty": "RSA"}]}', 3, "make no key"),
        (b'{"keys": [1]}', 3, "make no key"),
        (b'{"a": 1}', 3, "make no key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA", 3, "cut off"),
    ],
)
def test_what_is_no_key_is_named(cli: Cli, here: Path, content: bytes, code: int, words: str) -> None:
    write_private(here / "odd", content)
    done = cli("jwks", "build", "odd")
    assert (done.code, done.stdout) == (code, "")
    assert words in done.stderr


def test_a_key_that_the_provider_does_not_take_is_refused(cli: Cli, here: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    for native in (ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP384R1())):
        pem = native.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (here / "odd.pem").write_bytes(pem)
        assert cli("jwks", "build", "odd.pem").code == 3
    assert cli("jwks", "build", "missing.pem").code == 3


@pytest.mark.posix("modes")
def test_a_private_key_that_others_can_write_is_refused(cli: Cli, here: Path) -> None:
    (here / "ec.pem").chmod(0o666)
    assert cli("jwks", "build", "ec.pem").code == 3
    assert cli("jwks", "build", "ec.pem", "--allow-writable-key").code == 0


# --- add and remove ---


def test_a_key_is_added_once(cli: Cli, here: Path, rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey) -> None:
    done = cli("jwks", "add", "jwks.json", "ec.pem", "rsa.pem")
    assert done.code == 0
    assert done.stdout == (
        f"added: ec.pem, kid {ec_key.public.thumbprint()}\n"
        f"there already: rsa.pem, kid {rsa_key.public.thumbprint()}\n"
    )
    assert "banno-creds jwks check URL ec.pem rsa.pem" in done.stderr
    after = (here / "jwks.json").read_bytes()
    assert json.loads(after) == {"keys": [public_jwk(rsa_key.public, "PS256"), public_jwk(ec_key.public, "ES256")]}
    assert cli("jwks", "add", "jwks.json", "ec.pem", "-q").stderr == ""
    by_pipe = cli("jwks", "add", "jwks.json", "-", "ec.pem", stdin=rsa_key.public.pem())
    assert by_pipe.stderr.splitlines()[-1].split() == ["banno-creds", "jwks", "check", "URL", "ec.pem"]
    assert (here / "jwks.json").read_bytes() == after


def test_a_set_that_needs_no_change_keeps_each_byte(cli: Cli, here: Path, rsa_key: keys.PrivateKey) -> None:
    odd = json.dumps({"keys": [public_jwk(rsa_key.public)]}, indent=3).replace("[", "[  ").encode()
    (here / "jwks.json").write_bytes(odd)
    assert cli("jwks", "add", "jwks.json", "rsa.pem").code == 0
    assert (here / "jwks.json").read_bytes() == odd


@pytest.mark.parametrize("place", ["-", "https://keys.bank.example/jwks.json"])
def test_only_a_file_is_changed(cli: Cli, here: Path, place: str) -> None:
    refused = cli("jwks", "add", place, "ec.pem")
    assert (refused.code, refused.stdout) == (2, "")
    assert "name the file that you publish" in refused.stderr


def test_a_key_that_is_given_twice_is_looked_for_once(cli: Cli, here: Path) -> None:
    told = json.loads(cli("jwks", "check", "jwks.json", "rsa.pem", "rsa.pem", "-o", "json").stdout)
    assert [each["looks_at"] for each in told["findings"] if "your" in each["looks_at"]] == ["your key"]


def test_a_key_is_removed_by_its_file_or_its_kid(cli: Cli, here: Path, rsa_key: keys.PrivateKey) -> None:
    before = (here / "jwks.json").read_bytes()
    for which in ("ec.pem", mine("ec").public.thumbprint()):
        assert cli("jwks", "add", "jwks.json", "ec.pem").code == 0
        write_private(here / "mine.pem", mine("ec").pem())
        cli("jwks", "add", "jwks.json", "mine.pem")
        done = cli("jwks", "remove", "jwks.json", which, "-q")
        assert (done.code, done.stdout, done.stderr) == (0, f"removed: {which}\n", "")
        for left in ("ec.pem", "mine.pem"):
            cli("jwks", "remove", "jwks.json", left)
        assert (here / "jwks.json").read_bytes() == before


def test_a_thumbprint_that_begins_with_a_dash_is_no_option(cli: Cli, here: Path) -> None:
    """As one in 64 does."""
    before = (here / "jwks.json").read_bytes()
    kid = f"-{'x' * 21}-{'7' * 20}"
    added = jwk_of(mine("ec"), kid=kid)
    (here / "jwks.json").write_text(json.dumps({"keys": [*json.loads(before)["keys"], added]}))
    done = cli("jwks", "remove", "jwks.json", kid, "-q")
    assert (done.code, done.stdout, done.stderr) == (0, f"removed: {kid}\n", "")
    assert json.loads((here / "jwks.json").read_bytes()) == json.loads(before)
    assert cli("jwks", "remove", "jwks.json", "--", kid, "-q").code == 2


def test_profiles_that_sign_with_a_key_that_was_removed_are_named(cli: Cli, here: Path) -> None:
    write_private(here / "mine.pem", mine("ec").pem())
    cli("jwks", "add", "jwks.json", "ec.pem", "mine.pem")
    for number in range(7):
        cli("profile", "add", f"p{number}", "--client-id", "c", "--private-key", "mine.pem" if number else "rsa.pem")
    assert cli("jwks", "remove", "jwks.json", "ec.pem", "-q").stderr == ""
    one = cli("jwks", "remove", "jwks.json", "rsa.pem", "-q")
    assert (one.code, one.stdout) == (0, "removed: rsa.pem\n")
    assert " ".join(one.stderr.split()) == (
        "! profile p0 signs with a key that was removed, and will be refused once this set is published "
        "put it back until another key is used: banno-creds jwks add jwks.json rsa.pem"
    )
    kid = mine("ec").public.thumbprint()
    several = cli("jwks", "remove", "jwks.json", kid, "-q", "--allow-empty").stderr
    assert "!   p1, p2, p3, p4, p5 and 1 more sign with a key that was removed" in several
    assert "jwks add jwks.json KEY\n" in several


def test_a_key_under_two_kids_is_one_key_of_its_profile(cli: Cli, here: Path) -> None:
    cli("profile", "add", "p", "--client-id", "c", "--private-key", "rsa.pem")
    key_set = json.loads((here / "jwks.json").read_bytes())
    key_set["keys"].append({**key_set["keys"][0], "kid": "another"})
    (here / "jwks.json").write_text(json.dumps(key_set))
    removed = cli("jwks", "remove", "jwks.json", "rsa.pem", "-q", "--allow-empty")
    assert "!   profile p signs with a key that was removed" in removed.stderr


def test_a_key_at_a_holder_is_known_by_its_uri(cli: Cli, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held, uri = mine("ec"), "vault:transit/banno"
    write_private(here / "mine.pem", held.pem())
    cli("jwks", "add", "jwks.json", "mine.pem")
    cli("profile", "add", "p", "--client-id", "c", "--private-key", uri)
    monkeypatch.setattr(jwks_command, "_keys_at", lambda *_: iter([jwks_command._Key(uri, held.public, None)]))
    assert "!   profile p signs with a key that was removed" in cli("jwks", "remove", "jwks.json", uri, "-q").stderr


def test_the_last_key_stays_unless_asked_for(cli: Cli, here: Path) -> None:
    before = (here / "jwks.json").read_bytes()
    refused = cli("jwks", "remove", "jwks.json", "rsa.pem")
    assert (refused.code, refused.stdout) == (2, "")
    assert "--allow-empty" in refused.stderr
    assert (here / "jwks.json").read_bytes() == before
    assert cli("jwks", "remove", "jwks.json", "rsa.pem", "--allow-empty").code == 0
    assert json.loads((here / "jwks.json").read_bytes()) == {"keys": []}


def test_a_key_that_is_not_there_changes_nothing(cli: Cli, here: Path, rsa_key: keys.PrivateKey) -> None:
    before = (here / "jwks.json").read_bytes()
    for which in ("ec.pem", "2024-01"):
        refused = cli("jwks", "remove", "jwks.json", rsa_key.public.thumbprint(), which, "--allow-empty")
        assert (refused.code, refused.stdout) == (2, "")
        assert f"has no key {which}" in refused.stderr
        assert (here / "jwks.json").read_bytes() == before


def test_a_set_with_a_private_key_is_never_written(cli: Cli, here: Path, rsa_key: keys.PrivateKey) -> None:
    leaky = jwks(public_jwk(rsa_key.public), {**public_jwk(mine("ec").public), "kid": "old", "d": "c2VjcmV0"})
    (here / "jwks.json").write_bytes(leaky)
    refused = cli("jwks", "add", "jwks.json", "ec.pem")
    assert (refused.code, refused.stdout) == (2, "")
    assert "c2VjcmV0" not in refused.stderr
    assert (here / "jwks.json").read_bytes() == leaky
    assert cli("jwks", "remove", "jwks.json", "old").code == 0
    assert json.loads((here / "jwks.json").read_bytes()) == {"keys": [public_jwk(rsa_key.public)]}


def test_a_file_that_is_no_set_is_left_alone(cli: Cli, here: Path) -> None:
    for command in ("add", "remove"):
        refused = cli("jwks", command, "rsa.pem", "ec.pem")
        assert (refused.code, refused.stdout) == (2, "")
        assert "rsa.pem is no JWK Set" in refused.stderr
        missing = cli("jwks", command, "none.json", "ec.pem")
        assert missing.code == 2
        assert "banno-creds jwks build KEY > none.json" in missing.stderr
        assert cli("jwks", command, "-", "ec.pem").code == 2
    assert not (here / "none.json").exists()


# --- check ---


def test_a_good_set_passes(cli: Cli, here: Path) -> None:
    done = cli("jwks", "check", "jwks.json", "rsa.pem")
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.startswith("Key set\n")
    assert "your key        rsa.pem is key 1, RSA 2048" in done.stdout
    assert cli("jwks", "check", "-", stdin=(here / "jwks.json").read_bytes()).code == 0


def test_what_a_set_built_here_has_passes_at_an_address(cli: Cli, here: Path, server: ScriptedServer) -> None:
    server.says(Says(body=cli("jwks", "build", "rsa.pem", "ec.pem").stdout.encode(), headers=PUBLISHED))
    done = cli("jwks", "check", f"{server.origin}/jwks.json", "rsa.pem", "ec.pem")
    assert done.code == 0
    assert len(server.requests) == 1
    assert done.stdout.index("Address\n") < done.stdout.index("Key set\n") < done.stdout.index("Your keys\n")
    assert "kept for up to 1 h" in done.stdout
    assert "key 2 of yours  ec.pem is key 2" in done.stdout


@pytest.mark.parametrize(
    ("content", "arguments", "code", "words"),
    [
        (b"{}", (), 4, "jwks.malformed"),
        (jwks(), (), 4, "jwks.empty"),
        (jwks(jwk_of(mine("ec"))), ("rsa.pem",), 4, "a key is not in the set: registration.key.mismatch"),
        (jwks(jwk_of(mine("ec"))), ("ec.pem", "rsa.pem"), 4, "a key is not in the set: registration.key.mismatch"),
        (jwks(jwk_of(mine("ec"), d="c2VjcmV0")), (), 3, "LEAKED"),
        (jwks({"kty": "oct", "k": "c2VjcmV0"}), ("rsa.pem",), 3, "LEAKED"),
    ],
)
def test_each_fault_has_its_exit_code(
    cli: Cli, here: Path, content: bytes, arguments: tuple[str, ...], code: int, words: str
) -> None:
    (here / "jwks.json").write_bytes(content)
    done = cli("jwks", "check", "jwks.json", *arguments)
    assert done.code == code
    assert words.lower() in done.stderr.lower()
    assert "c2VjcmV0" not in done.stdout + done.stderr
    members = json.loads(cli("jwks", "check", "jwks.json", *arguments, "-o", "json").stdout)
    assert (members["verdict"], members["exit_code"]) == ("fail", code)


def test_a_set_that_cannot_be_fetched_is_of_the_network(cli: Cli, server: ScriptedServer, tmp_path: Path) -> None:
    server.says(Says(404))
    done = cli("jwks", "check", server.origin)
    assert done.code == 5
    assert "registration.unreachable" in done.stderr
    assert cli("jwks", "check", "http://127.0.0.1:9/").code == 5
    assert cli("jwks", "check", "http://keys.bank.com/jwks.json").code == 2  # plain http is for this machine
    assert cli("jwks", "check", "https://user:secret@keys.bank.com/jwks.json").code == 2
    assert cli("jwks", "check", str(tmp_path / "none.json")).code == 2


@pytest.mark.no_wine("Wine trusts a partial chain")
def test_an_untrusted_server_is_told_with_its_chain(cli: Cli, tmp_path: Path, here: Path) -> None:
    authority = make_authority(tmp_path / "authority")
    with FileServer(authority.context("localhost")) as host:
        host.documents["/jwks.json"] = (here / "jwks.json").read_bytes()
        done = cli("jwks", "check", f"{host.origin}/jwks.json")
        assert done.code == 5
        assert "network.tls.untrusted" in done.stdout
        assert "intermediate certificates" in done.stdout
        assert cli("jwks", "check", f"{host.origin}/jwks.json", "--ca-bundle", authority.file).code == 0


@pytest.mark.no_wine("Wine trusts a partial chain")
def test_a_chain_without_its_intermediate_is_told(cli: Cli, here: Path) -> None:
    ca = trustme.CA()
    issued = ca.create_child_ca().issue_cert("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf = here / "leaf.pem"
    leaf.write_bytes(issued.private_key_pem.bytes() + issued.cert_chain_pems[0].bytes())
    context.load_cert_chain(leaf)
    ca.cert_pem.write_to_path(here / "ca.pem")
    with FileServer(context) as host:
        host.documents["/jwks.json"] = (here / "jwks.json").read_bytes()
        done = cli("jwks", "check", f"{host.origin}/jwks.json", "--ca-bundle", here / "ca.pem")
    assert done.code == 5
    assert "network.tls.untrusted" in done.stdout
    assert "have it send the intermediate certificates" in done.stdout


def test_a_passphrase_that_is_wrong_is_nowhere(cli: Cli, here: Path, rsa_key: keys.PrivateKey) -> None:
    write_private(here / "locked.pem", rsa_key.pem(PASSPHRASE))
    write_private(here / "passphrase", b"battery staple\n")
    for command in (("build",), ("add", "jwks.json"), ("remove", "jwks.json"), ("check", "jwks.json")):
        done = cli("jwks", *command, "locked.pem", "--passphrase-file", "passphrase")
        assert (done.code, done.stdout) == (3, "")
        assert "battery" not in done.stderr


def test_the_sandboxs_own_set_is_taken(cli: Cli) -> None:
    with Sandbox([], log=lambda _: None) as sandbox:
        done = cli("jwks", "check", f"{sandbox.issuer}/jwks", "-o", "json")
    assert done.code == 0
    found = json.loads(done.stdout)
    assert all(key["usable"] for key in found["keys"])
    assert {each["rule"] for each in found["findings"] if each["verdict"] == "warn"} == {
        "jwks.address",
        "jwks.caching",
    }


def test_what_a_server_sends_is_never_obeyed(cli: Cli, server: ScriptedServer) -> None:
    hostile = "\x1b[31m" + "A" * 5000 + "\u202e"
    headers = {"content-type": "text/\x7fhtml", "cache-control": "x" * 3000, "vary": "[bold]"}
    body = json.dumps({"keys": [jwk_of(mine("ec"), kid=hostile, use=hostile)], hostile: 1}).encode()
    server.says(Says(body=body, headers=headers))
    done = cli("jwks", "check", server.origin)
    assert "\x1b" not in done.stdout + done.stderr
    assert "\u202e" not in done.stdout + done.stderr
    assert len(done.stdout) < 5000


def test_warnings_leave_the_exit_code_alone(cli: Cli, here: Path) -> None:
    (here / "jwks.json").write_bytes(jwks(mine("ec").public.jwk()))
    done = cli("jwks", "check", "jwks.json")
    assert (done.code, done.stderr) == (0, "")
    assert "jwks.kid.missing" in done.stdout


def test_a_kid_that_is_not_sent_is_told_in_this_command_lines_words(cli: Cli, here: Path) -> None:
    (here / "jwks.json").write_bytes(jwks(jwk_of(mine("ec"), kid="2024-01")))
    write_private(here / "mine.pem", mine("ec").pem())
    done = cli("jwks", "check", "jwks.json", "mine.pem")
    assert done.code == 0
    assert "send the set's kid, by --kid" in done.stdout


def test_no_private_byte_is_in_what_is_built(cli: Cli, here: Path, rsa_key: keys.PrivateKey) -> None:
    native = rsa_key.native
    assert isinstance(native, RSAPrivateKey)
    numbers = native.private_numbers()
    shown = cli("jwks", "build", "rsa.pem").stdout
    for number in (numbers.d, numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp):
        assert base64url(number.to_bytes((number.bit_length() + 7) // 8, "big")) not in shown
