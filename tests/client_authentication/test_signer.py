"""Signatures: others accept them, the RFC's own comes out, and a damaged key's never leaves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from banno_creds import config
from banno_creds.client_authentication import client_assertion as assertion
from banno_creds.client_authentication.signer import ALGORITHMS, KeySigner, choose_alg
from banno_creds.errors import ConfigurationError, SigningError
from banno_creds.jose import keys
from banno_creds.jose.encoding import base64url, base64url_decode
from tests.conftest import CLIENT_ID, write_private
from tests.key_files import damaged_rsa, pem_of
from tests.openssl import openssl

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Cli

TOKEN_URL = "https://login.jackhenry.com/a/oidc-provider/api/v0/token"
SIGNING_INPUT = b"eyJhbGciOiJQUzI1NiJ9.eyJqdGkiOiJvbmNlIn0"
PSS = ("-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_mgf1_md:sha256")


@pytest.fixture(scope="session")
def known(rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey) -> dict[str, keys.PrivateKey]:
    return {"PS256": rsa_key, "RS256": rsa_key, "ES256": ec_key}


def test_every_alg_that_can_be_asked_for_has_its_kind_of_key() -> None:
    assert sorted(alg for algs in ALGORITHMS.values() for alg in algs) == sorted(config.ALGORITHMS)


@pytest.mark.parametrize("alg", config.ALGORITHMS)
def test_openssl_accepts_the_signature(tmp_path: Path, known: dict[str, keys.PrivateKey], alg: str) -> None:
    key = known[alg]
    signature = KeySigner(key, alg).sign(SIGNING_INPUT)
    if alg == "ES256":  # RFC 7518 section 3.4: R and S; OpenSSL wants them in DER
        assert len(signature) == 64
        numbers = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        signature = encode_dss_signature(*numbers)
    public, signed = tmp_path / "public.pem", tmp_path / "signature"
    public.write_bytes(key.public.pem())
    signed.write_bytes(signature)
    # RFC 7518 section 3.5: the salt has the size of the hash.
    options = (*PSS, "-sigopt", "rsa_pss_saltlen:32") if alg == "PS256" else ()
    verify = ("dgst", "-sha256", "-verify", public, "-signature", signed, *options)
    assert openssl(*verify, stdin=SIGNING_INPUT) == b"Verified OK\n"


@pytest.mark.parametrize("alg", config.ALGORITHMS)
def test_pyjwt_accepts_the_assertion(known: dict[str, keys.PrivateKey], alg: str) -> None:
    token = assertion.sign({"alg": alg}, {"iss": "me"}, KeySigner(known[alg], alg))
    assert jwt.decode(token, known[alg].public.pem(), [alg]) == {"iss": "me"}
    assert jwt.get_unverified_header(token) == {"alg": alg}


@pytest.mark.parametrize("alg", ["PS256", "ES256"])
def test_no_two_signatures_are_alike(known: dict[str, keys.PrivateKey], alg: str) -> None:
    signer = KeySigner(known[alg], alg)
    assert signer.sign(SIGNING_INPUT) != signer.sign(SIGNING_INPUT)


def test_an_es256_signature_always_has_64_bytes(ec_key: keys.PrivateKey) -> None:
    # One in 128 has an R or S that begins with a zero byte, which DER leaves out: sign until one has come.
    signer = KeySigner(ec_key, "ES256")
    for number in range(20_000):
        signature = signer.sign(b"%d" % number)
        assert len(signature) == 64
        if 0 in (signature[0], signature[32]):
            return
    pytest.fail("no signature had a part that begins with a zero byte")


# RFC 7515 appendices A.2.1 and A.3.1; the payload is the same in both.
RFC_PAYLOAD = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
RFC_RSA_JWK = {
    "kty": "RSA",
    "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SF"
    "d2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo"
    "7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkM"
    "Ls91kzk2PAcDTW9gb54h4FRWyuXpoQ",
    "e": "AQAB",
    "d": "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395"
    "IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV"
    "_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQ"
    "yGWSeWjnczT0QU91p1DhOVRuOopznQ",
}
RFC_RS256 = (
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t"
    "1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12j"
    "zDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQ"
    "Ge77Rw"
)
RFC_EC_JWK = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
}


def test_rs256_is_that_of_rfc_7515() -> None:
    key = keys.load_private_key(json.dumps(RFC_RSA_JWK).encode(), "RFC 7515")
    signature = KeySigner(key, "RS256").sign(f"eyJhbGciOiJSUzI1NiJ9.{RFC_PAYLOAD}".encode())
    assert base64url(signature) == RFC_RS256


def test_es256_with_the_key_of_rfc_7515() -> None:
    key = keys.load_private_key(json.dumps(RFC_EC_JWK).encode(), "RFC 7515")
    signing_input = f"eyJhbGciOiJFUzI1NiJ9.{RFC_PAYLOAD}"
    token = f"{signing_input}.{base64url(KeySigner(key, 'ES256').sign(signing_input.encode()))}"
    # ECDSA is randomised, so this is another signature than the RFC's: a verifier must accept both.
    rfc = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    public = jwt.PyJWK({name: value for name, value in RFC_EC_JWK.items() if name != "d"} | {"alg": "ES256"})
    for accepted in (token, f"{signing_input}.{rfc}"):
        assert jwt.decode(accepted, public, ["ES256"], options={"verify_exp": False})["iss"] == "joe"
    assert len(base64url_decode(rfc)) == 64


@pytest.mark.parametrize("alg", ["PS256", "RS256"])
def test_a_damaged_key_is_caught_before_its_signature_leaves(rsa_key: keys.PrivateKey, alg: str) -> None:
    key = keys.load_private_key(pem_of(damaged_rsa(rsa_key)), "old.pem")
    with pytest.raises(SigningError) as caught:
        KeySigner(key, alg).sign(SIGNING_INPUT)
    assert caught.value.message == "old.pem is damaged: its signatures do not verify with its own public half"
    assert caught.value.hint == "take the key from a backup, or make a new pair with: banno-creds keygen"


def test_a_damaged_key_on_the_command_line(cli: Cli, tmp_path: Path, rsa_key: keys.PrivateKey) -> None:
    path = write_private(tmp_path / "old.pem", pem_of(damaged_rsa(rsa_key)))
    result = cli("sign-jwt", "-q", "--client-id", CLIENT_ID, "--private-key", path)
    assert (result.code, result.stdout) == (3, "")
    assert result.stderr == (
        f"✗   {path} is damaged: its signatures do not verify with its own public half\n"
        "    Next: take the key from a backup, or make a new pair with: banno-creds keygen\n"
    )


class _Fails:
    """Stands for a P-256 key that fails in the library: no file can be made to do that."""

    def __init__(self, public: ec.EllipticCurvePublicKey, signature: bytes | None) -> None:
        self.public_key = lambda: public
        self.signature = signature

    def sign(self, *_: object) -> bytes:
        if self.signature is None:
            raise ValueError("a secret of the library")
        return self.signature


ec.EllipticCurvePrivateKey.register(_Fails)


@pytest.mark.parametrize("signature", [None, b"no signature at all", encode_dss_signature(1, 1)])
def test_a_failing_ec_signature_is_caught(ec_key: keys.PrivateKey, signature: bytes | None) -> None:
    assert isinstance(ec_key.native, ec.EllipticCurvePrivateKey)
    key = keys.PrivateKey(_Fails(ec_key.native.public_key(), signature), "old.pem")  # type: ignore[arg-type]
    with pytest.raises(SigningError, match=r"^old\.pem is damaged") as caught:
        KeySigner(key, "ES256").sign(SIGNING_INPUT)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("sort", "requested", "of_jwk", "alg"),
    [
        ("rsa", None, None, "PS256"),
        ("rsa", "PS256", None, "PS256"),
        ("rsa", "RS256", None, "RS256"),
        ("rsa", None, "RS256", "RS256"),
        ("rsa", "PS256", "RS256", "PS256"),
        ("rsa", "RS256", "RSA-OAEP", "RS256"),
        ("ec", None, None, "ES256"),
        ("ec", "ES256", None, "ES256"),
        ("ec", None, "ES256", "ES256"),
    ],
)
def test_the_option_comes_before_the_jwk_before_the_key_types_default(
    rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey, sort: str, requested: str | None, of_jwk: str | None, alg: str
) -> None:
    native = (rsa_key if sort == "rsa" else ec_key).native
    assert choose_alg(keys.PrivateKey(native, "here", of_jwk), requested) == alg


RSA_HINT = "set alg to PS256 or RS256"


@pytest.mark.parametrize(
    ("sort", "requested", "of_jwk", "message", "hint"),
    [
        ("rsa", "ES256", None, "RSA 2048 key and cannot sign with ES256", f"{RSA_HINT}, or leave it out"),
        ("ec", "PS256", None, "EC P-256 key and cannot sign with PS256", "set alg to ES256, or leave it out"),
        ("ec", "RS256", "ES256", "EC P-256 key and cannot sign with RS256", "set alg to ES256, or leave it out"),
        ("rsa", None, "RS512", "RSA 2048 key and cannot sign with RS512, as its JWK says", RSA_HINT),
        ("rsa", None, "RSA-OAEP", "RSA 2048 key and cannot sign with RSA-OAEP, as its JWK says", RSA_HINT),
        ("rsa", None, "none", "RSA 2048 key and cannot sign with none, as its JWK says", RSA_HINT),
        ("rsa", None, "HS256", "RSA 2048 key and cannot sign with HS256, as its JWK says", RSA_HINT),
    ],
)
def test_an_algorithm_that_does_not_go_with_the_key_is_refused(
    rsa_key: keys.PrivateKey,
    ec_key: keys.PrivateKey,
    sort: str,
    requested: str | None,
    of_jwk: str | None,
    message: str,
    hint: str,
) -> None:
    native = (rsa_key if sort == "rsa" else ec_key).native
    with pytest.raises(ConfigurationError) as caught:
        choose_alg(keys.PrivateKey(native, "here", of_jwk), requested)
    assert (caught.value.message, caught.value.hint) == (f"here is an {message}", hint)


def test_a_wrong_algorithm_on_the_command_line_is_exit_2(cli: Cli, ec_pem: Path) -> None:
    result = cli("sign-jwt", "--client-id", CLIENT_ID, "--private-key", ec_pem, "--alg", "RS256")
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr == (
        f"✗   {ec_pem} is an EC P-256 key and cannot sign with RS256\n    Next: set --alg to ES256, or leave it out\n"
    )


@pytest.mark.parametrize(("sort", "alg"), [(sort, alg) for sort, algs in ALGORITHMS.items() for alg in algs])
def test_the_algorithm_asked_for_is_the_one_used(
    cli: Cli, tmp_path: Path, known: dict[str, keys.PrivateKey], sort: str, alg: str
) -> None:
    key = known[alg]
    assert key.type == sort
    path = write_private(tmp_path / "key.pem", key.pem())
    result = cli("sign-jwt", "-q", "--client-id", CLIENT_ID, "--private-key", path, "--alg", alg)
    assert (result.code, result.stderr) == (0, "")
    token = result.stdout.strip()
    assert jwt.get_unverified_header(token) == {"alg": alg}
    assert jwt.decode(token, key.public.pem(), [alg], audience=TOKEN_URL)["sub"] == CLIENT_ID


def test_the_key_is_never_in_a_signers_repr(rsa_key: keys.PrivateKey) -> None:
    assert repr(KeySigner(rsa_key, "PS256")) == "KeySigner(alg='PS256')"
