"""Whose signature a token carries: every way of naming the key, and every known way to cheat."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, utils, x25519
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from banno_creds.errors import ConfigurationError, TokenError
from banno_creds.jose.decode import DecodedToken
from banno_creds.jose.decode import decode as take_apart
from banno_creds.jose.encoding import base64url, base64url_decode, parse_json_object
from banno_creds.jose.jwks import keys_of, load_public_key
from banno_creds.jose.verify import verify_signature
from tests.openssl import openssl
from tests.servers.loopback import Says

if TYPE_CHECKING:
    from pathlib import Path

    from banno_creds.jose import keys
    from tests.conftest import Cli, How, Result
    from tests.servers.scripted import ScriptedServer

    Private = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey
    Public = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

pytestmark = pytest.mark.once

NOW = 1_795_276_801  # 2026-11-21 16:00:01 UTC
CLAIMS = {"iss": "https://issuer.example", "aud": "https://api.example", "exp": NOW + 598, "canary": "payload"}
_HASHES: dict[str, HashAlgorithm] = {"256": SHA256(), "384": SHA384(), "512": SHA512()}


@pytest.fixture(autouse=True)
def _now(how: How) -> None:
    """The clock stands still."""
    how.clock = lambda: NOW


def _signature(native: Private, alg: str, data: bytes) -> bytes:
    """Sign with cryptography alone, so that what is tested never tests itself."""
    if isinstance(native, Ed25519PrivateKey):
        return native.sign(data)
    digest = _HASHES[alg[2:]]
    if isinstance(native, EllipticCurvePrivateKey):
        r, s = utils.decode_dss_signature(native.sign(data, ec.ECDSA(digest)))
        size = (native.key_size + 7) // 8
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    if alg.startswith("RS"):
        return native.sign(data, padding.PKCS1v15(), digest)
    return native.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)


def sign(native: Private, alg: str, claims: Any = None, **header: Any) -> str:
    parts = [{"alg": alg} | header, CLAIMS if claims is None else claims]
    signing_input = ".".join(base64url(json.dumps(part).encode()) for part in parts)
    return f"{signing_input}.{base64url(_signature(native, alg, signing_input.encode()))}"


def pem(native: Private) -> bytes:
    return native.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwk_of(native: Private, **members: Any) -> dict[str, Any]:
    """The public JWK (RFC 7518 section 6, RFC 8037 section 2), written out here once more."""
    public = native.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        n, e = (base64url(i.to_bytes((i.bit_length() + 7) // 8, "big")) for i in (numbers.n, numbers.e))
        return {"kty": "RSA", "n": n, "e": e} | members
    if isinstance(public, ec.EllipticCurvePublicKey):
        point, size = public.public_numbers(), (public.key_size + 7) // 8
        crv = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521", "secp256k1": "secp256k1"}
        x, y = (base64url(i.to_bytes(size, "big")) for i in (point.x, point.y))
        return {"kty": "EC", "crv": crv[public.curve.name], "x": x, "y": y} | members
    return {"kty": "OKP", "crv": "Ed25519", "x": base64url(public.public_bytes_raw())} | members


@dataclass(frozen=True)
class Keys:
    """One key of every sort that verifies."""

    rsa: RSAPrivateKey
    other_rsa: RSAPrivateKey
    p256: EllipticCurvePrivateKey
    p384: EllipticCurvePrivateKey
    p521: EllipticCurvePrivateKey
    ed25519: Ed25519PrivateKey


@pytest.fixture(scope="session")
def every(rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey) -> Keys:
    assert isinstance(rsa_key.native, RSAPrivateKey)
    assert isinstance(ec_key.native, EllipticCurvePrivateKey)
    return Keys(
        rsa_key.native,
        rsa.generate_private_key(65537, 3072),
        ec_key.native,
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
        Ed25519PrivateKey.generate(),
    )


ALGORITHMS = {
    "RS256": ("rsa", "RSA 2048"),
    "RS384": ("rsa", "RSA 2048"),
    "RS512": ("rsa", "RSA 2048"),
    "PS256": ("rsa", "RSA 2048"),
    "PS384": ("rsa", "RSA 2048"),
    "PS512": ("rsa", "RSA 2048"),
    "ES256": ("p256", "EC 256"),
    "ES384": ("p384", "EC 384"),
    "ES512": ("p521", "EC 521"),
    "EdDSA": ("ed25519", "Ed25519"),
    "Ed25519": ("ed25519", "Ed25519"),
}


def verified(alg: str, key: str, *asked: str, kid: str | None = None) -> str:
    """What stderr says of a token that verifies."""
    header = {"alg": alg} | ({"kid": kid} if kid else {})
    return (
        " 1  Decoded\n"
        f"    {json.dumps(header)}\n"
        "    expires in 9 min 58 s, at 2026-11-21 16:09:59 UTC\n"
        " 2  Verified\n"
        f"    the signature holds: {alg}, {key}\n"
        + "".join(f"    as asked: {line}\n" for line in asked)
        + "    not expired\n"
    )


STDOUT = json.dumps(CLAIMS, indent=2) + "\n"


def refused(result: Result, message: str, hint: str, *details: str) -> None:
    """Make sure that exit 6 says why, that the payload is on stderr for reading, and that nothing is on stdout."""
    said = "".join(f"    {line}\n" for line in details)
    assert (result.code, result.stdout) == (6, "")
    assert result.stderr.endswith(f"    }}\n✗   {message}\n{said}    Next: {hint}\n"), result.stderr
    assert " 2  Payload, not to be relied on\n" in result.stderr


WRONG_KEY = (
    "The signature does not verify: the token was changed, or another key signed it",
    "check that the key is that of the token's issuer; otherwise do not rely on the token",
)


@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("form", ["PEM", "JWK", "JWK Set"])
def test_every_algorithm_verifies_with_its_own_key(
    cli: Cli, tmp_path: Path, every: Keys, alg: str, form: str
) -> None:
    name, description = ALGORITHMS[alg]
    native: Private = getattr(every, name)
    file = tmp_path / "key"
    contents = {
        "PEM": pem(native),
        "JWK": json.dumps(jwk_of(native)).encode(),
        "JWK Set": json.dumps({"keys": [jwk_of(native)]}).encode(),
    }
    file.write_bytes(contents[form])
    result = cli("decode", sign(native, alg), "--public-key", file)
    assert (result.code, result.stdout, result.stderr) == (0, STDOUT, verified(alg, f"{description} from {file}"))


def test_full_names_the_key_that_verified(cli: Cli, tmp_path: Path, every: Keys) -> None:
    file = tmp_path / "public.pem"
    file.write_bytes(pem(every.rsa))
    result = cli("decode", "-q", "--full", sign(every.rsa, "RS256"), "--public-key", file)
    signature = json.loads(result.stdout)["signature"]
    assert (result.code, result.stderr) == (0, "")
    assert (signature["verified"], signature["alg"], signature["key"]) == (True, "RS256", f"RSA 2048 from {file}")


def _certificate(native: Private) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(name, name, native.public_key(), 1, start, start + dt.timedelta(days=1))
    algorithm = None if isinstance(native, Ed25519PrivateKey) else SHA256()
    return builder.sign(native, algorithm).public_bytes(Encoding.PEM)


def test_certificate_verifies(cli: Cli, tmp_path: Path, every: Keys) -> None:
    file = tmp_path / "certificate.pem"
    for native, alg, description in (
        (every.rsa, "PS256", "RSA 2048"),
        (every.p256, "ES256", "EC 256"),
        (every.ed25519, "EdDSA", "Ed25519"),
    ):
        file.write_bytes(b"subject=CN = test\n\n" + _certificate(native).replace(b"\n", b"\r\n"))
        result = cli("decode", sign(native, alg), "--public-key", file)
        assert (result.code, result.stdout, result.stderr) == (0, STDOUT, verified(alg, f"{description} from {file}"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["rsa", "-pubout"],
        ["rsa", "-RSAPublicKey_out"],
        ["pkey", "-pubout"],
    ],
    ids=["SPKI", "PKCS#1", "pkey"],
)
def test_public_keys_that_openssl_writes_verify(
    cli: Cli, tmp_path: Path, rsa_pem: Path, every: Keys, arguments: list[str]
) -> None:
    file = tmp_path / "public.pem"
    file.write_bytes(b"\xef\xbb\xbf" + openssl(*arguments, "-in", rsa_pem))
    result = cli("decode", sign(every.rsa, "RS256"), "--public-key", file)
    assert (result.code, result.stdout, result.stderr) == (0, STDOUT, verified("RS256", f"RSA 2048 from {file}"))


def test_token_we_sign_ourselves_verifies(cli: Cli, tmp_path: Path, rsa_pem: Path) -> None:
    public = tmp_path / "public.pem"
    assert cli("keygen", "--public-from", rsa_pem, "--public-key", public).code == 0
    # The clock of the assertion is the real one.
    signed = cli("sign-jwt", "-q", "--client-id", "id", "--private-key", rsa_pem)
    token = take_apart(signed.stdout)
    key = verify_signature(token, load_public_key(public.read_bytes(), "public.pem"))
    assert key.description == "RSA 2048 from public.pem"


# Public keys and signatures as the RFCs print them.
RFC7515_PAYLOAD = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
VECTORS: dict[str, tuple[dict[str, str], str]] = {
    "RFC 7515 appendix A.2": (
        {
            "kty": "RSA",
            "n": "ofgWCuLjybRlzo0t"
            "ZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yR"
            "T-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS"
            "-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2et"
            "hFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
            "e": "AQAB",
        },
        (
            f"eyJhbGciOiJSUzI1NiJ9.{RFC7515_PAYLOAD}.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuH"
            "Im4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkS"
            "jtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI"
            "8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
        ),
    ),
    "RFC 7515 appendix A.3": (
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        },
        (
            f"eyJhbGciOiJFUzI1NiJ9.{RFC7515_PAYLOAD}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQ"
            "xfKTUJqPP3-Kg6NU1Q"
        ),
    ),
    "RFC 7515 appendix A.4": (
        {
            "kty": "EC",
            "crv": "P-521",
            "x": "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
            "y": "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2",
        },
        (
            "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB"
            "34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"
        ),
    ),
    "RFC 8037 appendix A.4": (
        {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        (
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR"
            "4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        ),
    ),
}


def _as_token(compact: str) -> DecodedToken:
    """Some examples' payloads are no claims, so `decode` would stop at them."""
    return DecodedToken(parse_json_object(base64url_decode(compact.split(".")[0])), {}, compact)


@pytest.mark.parametrize(("jwk", "compact"), VECTORS.values(), ids=VECTORS)
def test_examples_of_the_rfcs_verify(jwk: dict[str, str], compact: str) -> None:
    key = verify_signature(_as_token(compact), keys_of({"keys": [jwk]}, "the RFC"))
    assert key.description.endswith(" from the RFC")


@pytest.mark.parametrize(("jwk", "compact"), VECTORS.values(), ids=VECTORS)
def test_examples_of_the_rfcs_do_not_verify_when_changed(jwk: dict[str, str], compact: str) -> None:
    keys = keys_of({"keys": [jwk]}, "the RFC")
    signing_input, _, signature = compact.rpartition(".")
    raw = base64url_decode(signature)
    changed = base64url(raw[:-1] + bytes([raw[-1] ^ 1]))
    for forged in (f"{signing_input}.{changed}", f"{signing_input}.", f"{signing_input}a.{signature}"):
        with pytest.raises(TokenError, match="the signature does not verify"):
            verify_signature(_as_token(forged), keys)


@pytest.mark.parametrize(
    "compact",
    [
        f"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{RFC7515_PAYLOAD}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        f"eyJhbGciOiJub25lIn0.{RFC7515_PAYLOAD}.",
    ],
    ids=["A.1, HS256", "A.5, none"],
)
def test_examples_of_rfc_7515_without_a_public_key_are_refused(cli: Cli, rsa_pem: Path, compact: str) -> None:
    public = rsa_pem.with_name("public.pem")
    assert cli("keygen", "--public-from", rsa_pem, "--public-key", public).code == 0
    result = cli("decode", compact, "--public-key", public)
    assert (result.code, result.stdout) == (6, "")


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA"])
def test_token_changed_by_one_bit_is_refused_wherever_the_bit_is(every: Keys, alg: str) -> None:
    native: Private = getattr(every, ALGORITHMS[alg][0])
    keys = load_public_key(pem(native), "public.pem")
    token = sign(native, alg, {"sub": "x"}, typ="JWT")
    verify_signature(take_apart(token), keys)
    parts = [base64url_decode(part) for part in token.split(".")]
    for place, part in enumerate(parts):
        for bit in range(0, len(part) * 8, 1 if len(part) < 100 else 7):
            forged = bytearray(part)
            forged[bit // 8] ^= 1 << bit % 8
            pieces = [*parts[:place], bytes(forged), *parts[place + 1 :]]
            with pytest.raises(TokenError):
                verify_signature(take_apart(".".join(map(base64url, pieces))), keys)


def test_last_character_has_one_spelling(every: Keys) -> None:
    """Base64 leaves bits over at the end; a decoder that ignored them would take several tokens for one."""
    token = sign(every.rsa, "RS256")  # 256 bytes: two bits over
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for character in alphabet:
        if character != token[-1]:
            with pytest.raises(TokenError):
                verify_signature(take_apart(token[:-1] + character), load_public_key(pem(every.rsa), "public.pem"))


def test_token_changed_by_one_bit_is_answered_with_exit_6(cli: Cli, tmp_path: Path, every: Keys) -> None:
    file = tmp_path / "public.pem"
    file.write_bytes(pem(every.p256))
    header, payload, signature = sign(every.p256, "ES256").split(".")
    raw = bytearray(base64url_decode(signature))
    raw[5] ^= 1
    forged_payload = base64url(base64url_decode(payload).replace(b"payload", b"paylobd"))
    for token in (f"{header}.{payload}.{base64url(bytes(raw))}", f"{header}.{forged_payload}.{signature}"):
        refused(cli("decode", token, "--public-key", file), *WRONG_KEY, f"tried: EC 256 from {file}")


def test_signature_of_another_key_is_refused(cli: Cli, tmp_path: Path, every: Keys) -> None:
    file = tmp_path / "public.pem"
    file.write_bytes(pem(every.rsa))
    result = cli("decode", sign(every.other_rsa, "RS256"), "--public-key", file)
    refused(result, *WRONG_KEY, f"tried: RSA 2048 from {file}")


def _unsigned(alg: Any, signature: str = "") -> str:
    header = {} if alg is None else {"alg": alg}
    return ".".join([*(base64url(json.dumps(part).encode()) for part in (header, CLAIMS)), signature])


NOT_SIGNED = "anybody could have written it: do not rely on it"


@pytest.mark.parametrize(
    ("alg", "message"),
    [
        ("none", "The token is not signed at all (alg none)"),
        (None, "The token's header names no alg"),
        (5, "The token's header names no alg"),
        (["RS256"], "The token's header names no alg"),
    ],
)
def test_token_without_a_signature_is_refused(cli: Cli, tmp_path: Path, every: Keys, alg: Any, message: str) -> None:
    file = tmp_path / "public.pem"
    file.write_bytes(pem(every.rsa))
    for signature in ("", "c2ln"):
        refused(cli("decode", _unsigned(alg, signature), "--public-key", file), message, NOT_SIGNED)


@pytest.mark.parametrize("alg", ["None", "nOnE", "", "RS1", "rs256", "ES256K", "A128KW", "\u001b[31m"])
def test_algorithms_no_key_has_are_refused(cli: Cli, tmp_path: Path, every: Keys, alg: str) -> None:
    file = tmp_path / "public.pem"
    file.write_bytes(pem(every.rsa))
    shown = alg.replace("\u001b", "")
    refused(
        cli("decode", _unsigned(alg), "--public-key", file),
        f"The token says alg {shown}, which no key here may verify (RSA 2048 from {file})",
        "check that the key is that of the token's issuer",
    )


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_public_key_is_never_the_secret_of_an_hmac(cli: Cli, tmp_path: Path, every: Keys, alg: str) -> None:
    content = pem(every.rsa)
    signing_input = _unsigned(alg).rpartition(".")[0]
    file = tmp_path / "public.pem"
    file.write_bytes(content)
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": [jwk_of(every.rsa), {"kty": "oct", "k": base64url(content)}]}))
    for secret in (content, content.strip()):
        digest = hmac.new(secret, signing_input.encode(), getattr(hashlib, f"sha{alg[2:]}")).digest()
        for option, keys in (("--public-key", file), ("--jwks", jwks)):
            refused(
                cli("decode", f"{signing_input}.{base64url(digest)}", option, keys),
                f"The token says it is signed with a shared secret ({alg}), and a public key is not one",
                "do not rely on it: taking a public key for a secret is a known way to forge tokens",
            )


@pytest.mark.parametrize(
    ("signer", "alg", "key", "description"),
    [
        ("p256", "ES256", "rsa", "RSA 2048"),
        ("rsa", "RS256", "p256", "EC 256"),
        ("p384", "ES384", "p256", "EC 256"),
        ("p256", "ES256", "p384", "EC 384"),
        ("ed25519", "EdDSA", "p256", "EC 256"),
        ("rsa", "PS256", "ed25519", "Ed25519"),
    ],
)
def test_algorithm_follows_from_the_key_and_not_from_the_token(
    cli: Cli, tmp_path: Path, every: Keys, signer: str, alg: str, key: str, description: str
) -> None:
    file = tmp_path / "public.pem"
    file.write_bytes(pem(getattr(every, key)))
    refused(
        cli("decode", sign(getattr(every, signer), alg), "--public-key", file),
        f"The token says alg {alg}, which no key here may verify ({description} from {file})",
        "check that the key is that of the token's issuer",
    )


@pytest.mark.parametrize(("said", "done"), [("PS256", "RS256"), ("RS256", "PS256"), ("RS512", "RS256")])
def test_signature_made_otherwise_than_the_header_says_is_refused(
    cli: Cli, tmp_path: Path, every: Keys, said: str, done: str
) -> None:
    file = tmp_path / "public.pem"
    file.write_bytes(pem(every.rsa))
    signing_input = _unsigned(said).rpartition(".")[0]
    token = f"{signing_input}.{base64url(_signature(every.rsa, done, signing_input.encode()))}"
    refused(cli("decode", token, "--public-key", file), *WRONG_KEY, f"tried: RSA 2048 from {file}")


def test_der_signature_is_none_for_es256(cli: Cli, tmp_path: Path, every: Keys) -> None:
    file = tmp_path / "public.pem"
    file.write_bytes(pem(every.p256))
    signing_input = _unsigned("ES256").rpartition(".")[0]
    der = every.p256.sign(signing_input.encode(), ec.ECDSA(SHA256()))
    result = cli("decode", f"{signing_input}.{base64url(der)}", "--public-key", file)
    refused(result, *WRONG_KEY, f"tried: EC 256 from {file}")


@pytest.mark.parametrize("crit", [["exp"], ["b64"], [], None])
def test_critical_extensions_are_refused(cli: Cli, tmp_path: Path, every: Keys, crit: Any) -> None:
    file = tmp_path / "public.pem"
    file.write_bytes(pem(every.rsa))
    refused(
        cli("decode", sign(every.rsa, "RS256", crit=crit), "--public-key", file),
        "The token's header has critical extensions (crit), which banno-creds does not know",
        "verify it with software made for that extension",
    )


def test_key_that_the_token_brings_along_is_not_looked_at(cli: Cli, tmp_path: Path, every: Keys) -> None:
    file = tmp_path / "public.pem"
    file.write_bytes(pem(every.rsa))
    token = sign(every.other_rsa, "RS256", jwk=jwk_of(every.other_rsa), jku="http://127.0.0.1:1/", x5u="file:///")
    refused(cli("decode", token, "--public-key", file), *WRONG_KEY, f"tried: RSA 2048 from {file}")


# ── JWK Sets ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def jwks(tmp_path: Path) -> Path:
    return tmp_path / "jwks.json"


def write_jwks(file: Path, *members: Any) -> Path:
    file.write_text(json.dumps({"keys": list(members)}))
    return file


def test_kid_picks_the_key(cli: Cli, jwks: Path, every: Keys) -> None:
    write_jwks(jwks, jwk_of(every.other_rsa, kid="old"), jwk_of(every.rsa, kid="new"), jwk_of(every.p256, kid="ec"))
    result = cli("decode", sign(every.rsa, "PS256", kid="new"), "--jwks", jwks)
    said = verified("PS256", f"RSA 2048 from {jwks}, kid new", kid="new")
    assert (result.code, result.stdout, result.stderr) == (0, STDOUT, said)


def test_kid_of_another_key_is_refused(cli: Cli, jwks: Path, every: Keys) -> None:
    write_jwks(jwks, jwk_of(every.other_rsa, kid="old"), jwk_of(every.rsa, kid="new"))
    result = cli("decode", sign(every.rsa, "PS256", kid="old"), "--jwks", jwks)
    refused(result, *WRONG_KEY, f"tried: RSA 3072 from {jwks}, kid old")


@pytest.mark.parametrize("kid", ["gone", "", 5, ["new"], {"a": 1}], ids=repr)
def test_kid_that_no_key_has_is_refused(cli: Cli, jwks: Path, every: Keys, kid: Any) -> None:
    write_jwks(jwks, jwk_of(every.rsa, kid="new"), jwk_of(every.p256, kid="ec"))
    shown = kid if isinstance(kid, str) else str(kid)
    refused(
        cli("decode", sign(every.rsa, "RS256", kid=kid), "--jwks", jwks),
        f"No key with the token's kid {shown!a} is known",
        "check that the keys are those of the token's issuer; after a key rotation fetch them again",
        "known: ec, new",
    )


def test_every_key_is_tried_where_the_token_names_none(cli: Cli, jwks: Path, every: Keys) -> None:
    write_jwks(
        jwks, jwk_of(every.p256), jwk_of(every.other_rsa), jwk_of(every.ed25519), jwk_of(every.rsa, kid="mine")
    )
    result = cli("decode", sign(every.rsa, "RS256"), "--jwks", jwks)
    said = verified("RS256", f"RSA 2048 from {jwks}, kid mine")
    assert (result.code, result.stdout, result.stderr) == (0, STDOUT, said)


def test_keys_without_a_kid_are_tried_for_any_kid(cli: Cli, jwks: Path, every: Keys) -> None:
    write_jwks(jwks, jwk_of(every.other_rsa, kid="other"), jwk_of(every.rsa))
    result = cli("decode", sign(every.rsa, "RS256", kid="mine"), "--jwks", jwks)
    said = verified("RS256", f"RSA 2048 from {jwks}", kid="mine")
    assert (result.code, result.stdout, result.stderr) == (0, STDOUT, said)


def test_several_keys_of_which_none_fits_are_named(cli: Cli, jwks: Path, every: Keys) -> None:
    write_jwks(jwks, jwk_of(every.rsa), jwk_of(every.other_rsa, kid=7))
    third = rsa.generate_private_key(65537, 2048)
    result = cli("decode", sign(third, "RS256"), "--jwks", jwks)
    refused(result, *WRONG_KEY, f"tried: RSA 2048 from {jwks}", f"tried: RSA 3072 from {jwks}")


def test_private_jwk_in_a_set_verifies_with_its_public_half(cli: Cli, jwks: Path, every: Keys) -> None:
    numbers = every.rsa.private_numbers()
    names = {
        "d": numbers.d,
        "p": numbers.p,
        "q": numbers.q,
        "dp": numbers.dmp1,
        "dq": numbers.dmq1,
        "qi": numbers.iqmp,
    }
    private = {name: base64url(i.to_bytes((i.bit_length() + 7) // 8, "big")) for name, i in names.items()}
    write_jwks(jwks, jwk_of(every.rsa, **private))
    result = cli("decode", sign(every.rsa, "RS256"), "--jwks", jwks)
    assert (result.code, result.stdout, result.stderr) == (0, STDOUT, verified("RS256", f"RSA 2048 from {jwks}"))
    assert not any(secret in result.stdout + result.stderr for secret in private.values())


@pytest.mark.parametrize(
    ("members", "alg"),
    [
        ({"use": "sig"}, "RS256"),
        ({"key_ops": ["verify"]}, "RS256"),
        ({"alg": "PS256"}, "PS256"),
        ({"alg": "RS256", "use": "sig", "x5t": "x", "key_ops": ["sign", "verify"]}, "RS256"),
    ],
)
def test_key_meant_for_it_verifies(cli: Cli, jwks: Path, every: Keys, members: dict[str, Any], alg: str) -> None:
    write_jwks(jwks, jwk_of(every.rsa, **members))
    result = cli("decode", "-q", sign(every.rsa, alg), "--jwks", jwks)
    assert (result.code, result.stdout, result.stderr) == (0, STDOUT, "")


@pytest.mark.parametrize("alg", ["EdDSA", "Ed25519"])
def test_both_names_of_the_edwards_algorithm_mean_the_same(cli: Cli, jwks: Path, every: Keys, alg: str) -> None:
    write_jwks(jwks, jwk_of(every.ed25519, alg=alg))
    for named in ("EdDSA", "Ed25519"):
        assert cli("decode", "-q", sign(every.ed25519, named), "--jwks", jwks).code == 0


def test_key_that_names_its_algorithm_verifies_no_other(cli: Cli, jwks: Path, every: Keys) -> None:
    write_jwks(jwks, jwk_of(every.rsa, alg="RS256"))
    refused(
        cli("decode", sign(every.rsa, "PS256"), "--jwks", jwks),
        f"The token says alg PS256, which no key here may verify (RSA 2048 from {jwks}, for RS256)",
        "check that the key is that of the token's issuer",
    )


def _small() -> dict[str, Any]:
    return jwk_of(rsa.generate_private_key(65537, 1024))


def _big() -> dict[str, Any]:
    return {"kty": "RSA", "e": "AQAB", "n": base64url(((1 << 20_000) + 1).to_bytes(2501, "big"))}


USELESS: dict[str, Any] = {
    "for encryption": lambda keys: jwk_of(keys.rsa, use="enc"),
    "for another use": lambda keys: jwk_of(keys.rsa, use=["enc", "sig"]),
    "for other operations": lambda keys: jwk_of(keys.rsa, key_ops=["wrapKey", "encrypt"]),
    "operations of no sort": lambda keys: jwk_of(keys.rsa, key_ops="wrapKey"),
    "for another algorithm": lambda keys: jwk_of(keys.rsa, alg="RSA-OAEP-256"),
    "of no algorithm": lambda keys: jwk_of(keys.rsa, alg=["RS256"]),
    "for another type's algorithm": lambda keys: jwk_of(keys.rsa, alg="ES256"),
    "RSA 1024": lambda _: _small(),
    "RSA 20000": lambda _: _big(),
    "secp256k1": lambda _: jwk_of(ec.generate_private_key(ec.SECP256K1())),
    "symmetric": lambda _: {"kty": "oct", "k": "c2VjcmV0"},
    "X25519": lambda _: {
        "kty": "OKP",
        "crv": "X25519",
        "x": base64url(x25519.X25519PrivateKey.generate().public_key().public_bytes_raw()),
    },
    "Ed448": lambda _: {
        "kty": "OKP",
        "crv": "Ed448",
        "x": base64url(ed448.Ed448PrivateKey.generate().public_key().public_bytes_raw()),
    },
    "no type": lambda _: {"n": "AQAB", "e": "AQAB"},
    "a type of no sort": lambda _: {"kty": ["RSA"]},
    "not on the curve": lambda keys: jwk_of(keys.p256, y=jwk_of(keys.p256)["x"]),
    "even exponent": lambda keys: jwk_of(keys.rsa, e="Ag"),
    "members missing": lambda _: {"kty": "EC", "crv": "P-256"},
    "members of no sort": lambda _: {"kty": "RSA", "n": 5, "e": None},
    "members that are no base64": lambda _: {"kty": "RSA", "n": "\ud800", "e": "*"},
    "no object": lambda _: "RSA",
}


@pytest.mark.parametrize("make", USELESS.values(), ids=USELESS)
def test_keys_that_cannot_verify_are_passed_over(cli: Cli, jwks: Path, every: Keys, make: Any) -> None:
    token = sign(every.rsa, "RS256")
    assert cli("decode", "-q", token, "--jwks", write_jwks(jwks, make(every), jwk_of(every.rsa))).code == 0
    alone = cli("decode", "-q", token, "--jwks", write_jwks(jwks, make(every)))
    said = (
        f"✗   {jwks} holds no key that can verify\n"
        "    Next: give a PEM public key, a certificate, a JWK or a JWK Set: RSA from 2048 bits, EC or Ed25519\n"
    )
    assert (alone.code, alone.stdout, alone.stderr) == (2, "", said)


def test_endless_key_sets_are_not_tried_to_the_end(every: Keys) -> None:
    jwk = jwk_of(every.p256)
    assert len(keys_of({"keys": [jwk] * 150}, "x")) == 100


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no public key that can be read"),
        (b"rubbish", "holds no public key that can be read"),
        (b"\x00\xff" * 100, "holds no public key that can be read"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "holds no public key that can be read"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "holds no public key that can be read"),
        (b"{", "starts like a JWK Set, but it is not JSON"),
        (b'{"keys": 5}', "holds no key that can verify"),
        (b'{"keys": []}', "holds no key that can verify"),
        (b"{}", "holds no key that can verify"),
        (b'{"keys": [], "keys": []}', "starts like a JWK Set, but it has the member 'keys' more than once"),
    ],
)
def test_file_that_holds_no_public_key_is_a_configuration_error(
    cli: Cli, tmp_path: Path, every: Keys, content: bytes, message: str
) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    for option in ("--public-key", "--jwks"):
        result = cli("decode", "-q", sign(every.rsa, "RS256"), option, file)
        assert (result.code, result.stdout) == (2, "")
        assert result.stderr.startswith(f"✗   {file} {message}")
        assert result.stderr.endswith(
            "    Next: give a PEM public key, a certificate, a JWK or a JWK Set: RSA from 2048 bits, EC or Ed25519\n"
        )


def test_weak_and_foreign_public_keys_are_refused(cli: Cli, tmp_path: Path, every: Keys) -> None:
    file = tmp_path / "public.pem"
    for native in (
        rsa.generate_private_key(65537, 1024),
        ec.generate_private_key(ec.SECP256K1()),
        ed448.Ed448PrivateKey.generate(),
        x25519.X25519PrivateKey.generate(),
    ):
        file.write_bytes(native.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        result = cli("decode", "-q", sign(every.rsa, "RS256"), "--public-key", file)
        said = (
            f"✗   {file} is a key of a type that cannot verify a JWT\n"
            "    Next: give a PEM public key, a certificate, a JWK or a JWK Set: RSA from 2048 bits, EC or Ed25519\n"
        )
        assert (result.code, result.stdout, result.stderr) == (2, "", said)


def test_private_key_is_refused_where_a_public_one_belongs(cli: Cli, rsa_pem: Path, every: Keys) -> None:
    result = cli("decode", "-q", sign(every.rsa, "RS256"), "--public-key", rsa_pem)
    said = (
        f"✗   {rsa_pem} holds a private key, and verifying needs only the public one\n"
        "    Next: make it with: banno-creds keygen --public-from FILE, and keep the private one to yourself\n"
    )
    assert (result.code, result.stdout, result.stderr) == (2, "", said)


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["kty", "crv", "n", "e", "x", "y", "use", "key_ops", "alg", "kid"]),
        st.sampled_from(["RSA", "EC", "OKP", "P-256", "Ed25519", "AQAB", "", "sig"])
        | st.binary(max_size=300).map(base64url)
        | st.none()
        | st.integers()
        | st.lists(st.text(), max_size=2)
        | st.text(st.characters(exclude_categories=[])),
    )
)
def test_no_jwk_ends_in_anything_but_a_key_or_words(jwk: dict[str, Any]) -> None:
    try:
        keys_of({"keys": [jwk]}, "x")
    except ConfigurationError as failure:
        assert failure.message == "x holds no key that can verify"  # noqa: PT017 - both ends are right


# ── Claims ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def public(tmp_path: Path, every: Keys) -> Path:
    file = tmp_path / "public.pem"
    file.write_bytes(pem(every.p256))
    return file


@pytest.mark.parametrize(
    "aud", ["https://api.example", ["https://api.example"], ["x", "https://api.example", 5]], ids=repr
)
def test_audience_may_be_a_string_or_one_of_many(cli: Cli, public: Path, every: Keys, aud: Any) -> None:
    claims = CLAIMS | {"aud": aud}
    token = sign(every.p256, "ES256", claims)
    result = cli("decode", token, "--public-key", public, "--audience", "https://api.example")
    said = verified("ES256", f"EC 256 from {public}", "aud https://api.example")
    assert (result.code, json.loads(result.stdout), result.stderr) == (0, claims, said)


@pytest.mark.parametrize(
    ("aud", "shown"),
    [
        ("https://api.example/", '"https://api.example/"'),
        ("https://api.example ", '"https://api.example "'),
        ("https://\u0430pi.example", '"https://\\u0430pi.example"'),
        ([], "[]"),
        (["a", "b"], '["a", "b"]'),
        ([["https://api.example"]], '[["https://api.example"]]'),
        ({"https://api.example": 1}, '{"https://api.example": 1}'),
        (None, "null"),
        (5, "5"),
        ("\u001b[2J\u202e", '"\\u001b[2J\\u202e"'),
    ],
    ids=repr,
)
def test_other_audience_is_refused_and_shown_to_the_character(
    cli: Cli, public: Path, every: Keys, aud: Any, shown: str
) -> None:
    token = sign(every.p256, "ES256", CLAIMS | {"aud": aud})
    refused(
        cli("decode", token, "--public-key", public, "--audience", "https://api.example"),
        "The token is for another audience",
        "check --audience: the two must be equal to the character",
        'expected aud: "https://api.example"',
        f"received aud: {shown}",
    )


@pytest.mark.parametrize(("claim", "option"), [("aud", "--audience"), ("iss", "--issuer")])
def test_claim_that_is_missing_is_refused(cli: Cli, public: Path, every: Keys, claim: str, option: str) -> None:
    claims = {name: value for name, value in CLAIMS.items() if name != claim}
    result = cli("decode", sign(every.p256, "ES256", claims), "--public-key", public, option, "https://x.example")
    message = {"aud": "The token is for another audience", "iss": "The token is from another issuer"}[claim]
    refused(
        result,
        message,
        f"check {option}: the two must be equal to the character",
        f'expected {claim}: "https://x.example"',
        f"received {claim}: (none)",
    )


def test_issuer_is_compared_to_the_character(cli: Cli, public: Path, every: Keys) -> None:
    token = sign(every.p256, "ES256")
    result = cli("decode", token, "--public-key", public, "--issuer", "https://issuer.example")
    said = verified("ES256", f"EC 256 from {public}", "iss https://issuer.example")
    assert (result.code, result.stdout, result.stderr) == (0, STDOUT, said)
    refused(
        cli("decode", token, "--public-key", public, "--issuer", "https://issuer.example/"),
        "The token is from another issuer",
        "check --issuer: the two must be equal to the character",
        'expected iss: "https://issuer.example/"',
        'received iss: "https://issuer.example"',
    )


EXPIRED = "get a fresh one; if it is fresh, compare this machine's clock with the server's"


def test_expired_token_is_refused_however_well_it_is_signed(cli: Cli, public: Path, every: Keys) -> None:
    token = sign(every.p256, "ES256", CLAIMS | {"exp": NOW - 180})
    said = "The token EXPIRED 3 min ago, at 2026-11-21 15:57:01 UTC"
    refused(cli("decode", token, "--public-key", public), said, EXPIRED)
    refused(cli("decode", token, "--public-key", public, "--leeway", "180"), said, EXPIRED)
    assert cli("decode", token, "--public-key", public, "--leeway", "181").code == 0


def test_token_that_is_not_valid_yet_is_refused(cli: Cli, public: Path, every: Keys) -> None:
    token = sign(every.p256, "ES256", CLAIMS | {"nbf": NOW + 30})
    refused(
        cli("decode", token, "--public-key", public, "--leeway", "29"),
        "The token is not valid before 2026-11-21 16:00:31 UTC, in 30 s",
        "compare this machine's clock with the server's, or allow a difference with --leeway",
    )
    assert cli("decode", token, "--public-key", public, "--leeway", "30").code == 0


def test_signature_is_judged_before_anything_the_token_claims(cli: Cli, public: Path, every: Keys) -> None:
    token = sign(ec.generate_private_key(ec.SECP256R1()), "ES256", {"exp": 0, "aud": "x"})
    result = cli("decode", token, "--public-key", public, "--audience", "y")
    refused(result, *WRONG_KEY, f"tried: EC 256 from {public}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--audience", "x"], "--audience alone proves nothing: without a key anybody can have written the token"),
        (["--public-key", "x", "--jwks", "{jwks}"], "--public-key and --jwks exclude each other"),
        (["--public-key", "x", "--leeway", "-1"], "--leeway must be 0 to 3600 s, not -1 s"),
        (["--jwks", "missing"], "No such file: missing"),
        (["--public-key", "missing"], "No such file: missing"),
        (["--jwks", "http://jwks.example/"], "The JWK Set's URL 'http://jwks.example/' cannot be used: plain http"),
    ],
)
def test_options_that_cannot_be_meant_are_a_configuration_error(
    cli: Cli, public: Path, every: Keys, options: list[str], message: str
) -> None:
    result = cli("decode", "-q", sign(every.p256, "ES256"), *(option.format(jwks=public) for option in options))
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"✗   {message}")


# ── Keys from the network ───────────────────────────────────────────────────────────────────────────────────────


def says(value: Any, status: int = 200) -> Says:
    return Says(status, json.dumps(value).encode())


def test_jwk_set_is_fetched(cli: Cli, server: ScriptedServer, every: Keys) -> None:
    server.says(says({"keys": [jwk_of(every.rsa, kid="a")]}))
    result = cli("decode", sign(every.rsa, "RS256", kid="a"), "--jwks", server.url)
    said = verified("RS256", f"RSA 2048 from {server.url}, kid a", kid="a")
    assert (result.code, result.stdout, result.stderr) == (0, STDOUT, said)
    assert [(request.method, request.path) for request in server.requests] == [("GET", "/token")]


def test_jwk_set_of_another_issuer_does_not_verify(cli: Cli, server: ScriptedServer, every: Keys) -> None:
    server.says(says({"keys": [jwk_of(every.rsa)]}))
    result = cli("decode", sign(every.other_rsa, "RS256"), "--jwks", server.url)
    refused(result, *WRONG_KEY, f"tried: RSA 2048 from {server.url}")


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        (says({"keys": []}), 2, "{url} holds no key that can verify"),
        (Says(200, b"<html>", {"content-type": "text/html"}), 5, "What {url} sends is not a JWK Set: it is HTML"),
        (says([]), 5, "What {url} sends is not a JWK Set: it is JSON, but an array and not an object"),
        (says({}, 404), 5, "{url} does not send a JWK Set: 404 Not Found"),
    ],
)
def test_address_without_keys_is_told(
    cli: Cli, server: ScriptedServer, every: Keys, answer: Says, code: int, message: str
) -> None:
    server.says(answer)
    result = cli("decode", "-q", sign(every.rsa, "RS256"), "--jwks", server.url)
    assert (result.code, result.stdout) == (code, "")
    assert result.stderr.startswith(f"✗   {message.format(url=server.url)}")


@pytest.fixture
def issuer(server: ScriptedServer) -> str:
    return server.url.removesuffix("/token")


def test_issuer_names_its_keys_by_discovery(cli: Cli, server: ScriptedServer, issuer: str, every: Keys) -> None:
    server.says(says({"issuer": issuer, "jwks_uri": f"{issuer}/keys"}), says({"keys": [jwk_of(every.rsa)]}))
    claims = CLAIMS | {"iss": issuer}
    token = sign(every.rsa, "RS256", claims)
    result = cli("decode", token, "--issuer", issuer, "--audience", "https://api.example")
    assert (result.code, json.loads(result.stdout)) == (0, claims)
    assert result.stderr == (
        " 1  Decoded\n"
        '    {"alg": "RS256"}\n'
        "    expires in 9 min 58 s, at 2026-11-21 16:09:59 UTC\n"
        " 2  Discovery\n"
        f"    issuer {issuer}\n"
        f"    jwks_uri {issuer}/keys\n"
        " 3  Verified\n"
        f"    the signature holds: RS256, RSA 2048 from {issuer}/keys\n"
        f"    as asked: iss {issuer}\n"
        "    as asked: aud https://api.example\n"
        "    not expired\n"
    )
    assert [request.path for request in server.requests] == ["/.well-known/openid-configuration", "/keys"]


def test_token_of_another_issuer_is_refused_though_the_key_fits(
    cli: Cli, server: ScriptedServer, issuer: str, every: Keys
) -> None:
    server.says(says({"issuer": issuer, "jwks_uri": f"{issuer}/keys"}), says({"keys": [jwk_of(every.rsa)]}))
    result = cli("decode", "-q", sign(every.rsa, "RS256"), "--issuer", issuer)
    assert (result.code, result.stdout) == (6, "")
    assert result.stderr == (
        "✗   The token is from another issuer\n"
        f'    expected iss: "{issuer}"\n'
        '    received iss: "https://issuer.example"\n'
        "    Next: check --issuer: the two must be equal to the character\n"
    )


def test_discovery_document_of_another_issuer_is_refused(
    cli: Cli, server: ScriptedServer, issuer: str, every: Keys
) -> None:
    server.says(says({"issuer": f"{issuer}/", "jwks_uri": f"{issuer}/keys"}), says({"keys": [jwk_of(every.rsa)]}))
    result = cli("decode", "-q", sign(every.rsa, "RS256", CLAIMS | {"iss": issuer}), "--issuer", issuer)
    assert (result.code, result.stdout) == (2, "")
    assert f"is not that of the issuer {issuer}\n    it says: {issuer}/\n" in result.stderr
    assert len(server.requests) == 1


def test_discovery_document_without_keys_is_told(cli: Cli, server: ScriptedServer, issuer: str, every: Keys) -> None:
    server.says(says({"issuer": issuer}))
    result = cli("decode", "-q", sign(every.rsa, "RS256"), "--issuer", issuer)
    assert (result.code, result.stdout) == (5, "")
    assert result.stderr == (
        f"✗   The discovery document of {issuer} names no jwks_uri\n"
        "    Next: give --jwks instead\n"
        "    More: banno-creds explain discovery.jwks\n"
    )
