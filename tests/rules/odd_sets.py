"""JWK Sets as people publish them, good and odd, and what a provider does with each.

They are the examples of RFC 7517, and what the trackers of oidc-provider, jose, PyJWT, Authlib, Keycloak, Okta and
Entra ID tell of. ``refused`` says whether oidc-provider refuses an assertion by ``mine`` with such a set.
"""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from banno_creds.jose.encoding import base64url, base64url_decode
from banno_creds.jose.keys import PrivateKey, PublicKey, generate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FAIL, WARN = "fail", "warn"


class OddSet(NamedTuple):
    """A set, made for a key; the faults in it, by rule; and whether a provider refuses that key's assertions."""

    make: Callable[[PrivateKey], bytes]
    faults: Mapping[str, str]
    refused: bool
    key: str = "rsa"


@cache
def mine(kind: str) -> PrivateKey:
    return generate("rsa" if kind == "rsa" else "ec") if kind != "short x" else _with_short_x()


def _with_short_x() -> PrivateKey:
    """A key whose x begins with a zero byte, which some programs leave out."""
    while True:
        key = generate("ec")
        if base64url_decode(key.public.jwk()["x"])[0] == 0:
            return key


@cache
def others() -> PublicKey:
    return generate("ec").public


def jwk_of(key: PrivateKey, **more: Any) -> dict[str, Any]:
    """A public JWK as it should be; a member that is None is left out."""
    return {**key.public.jwk(), "use": "sig", "kid": key.public.thumbprint(), **more}


def without(jwk: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in jwk.items() if name not in names}


def jwks(*members: Any) -> bytes:
    return json.dumps({"keys": members}).encode()


def beside(jwk: Any) -> Callable[[PrivateKey], bytes]:
    """Mine, and another one beside it."""
    return lambda key: jwks(jwk() if callable(jwk) else jwk, jwk_of(key))


def changed(**members: Any) -> Callable[[PrivateKey], bytes]:
    return lambda key: jwks(jwk_of(key, **members))


def text(change: Callable[[str], str | bytes]) -> Callable[[PrivateKey], bytes]:
    """Mine alone, its JSON changed."""

    def make(key: PrivateKey) -> bytes:
        made = change(json.dumps({"keys": [jwk_of(key)]}))
        return made if isinstance(made, bytes) else made.encode()

    return make


@cache
def certificate(kind: str) -> str:
    """A certificate of the key of this kind, as x5c has it."""
    key = mine(kind).native
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(1))
    return b64encode(builder.sign(key, SHA256()).public_bytes(Encoding.DER)).decode()


def ed25519_jwk() -> dict[str, Any]:
    public = ed25519.Ed25519PrivateKey.generate().public_key()
    return {"kty": "OKP", "crv": "Ed25519", "x": base64url(public.public_bytes_raw()), "use": "sig", "kid": "ed"}


def p384_jwk() -> dict[str, Any]:
    numbers = ec.generate_private_key(ec.SECP384R1()).public_key().public_numbers()
    x, y = (base64url(number.to_bytes(48)) for number in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-384", "x": x, "y": y, "use": "sig", "kid": "p384"}


def small_jwk() -> dict[str, Any]:
    numbers = rsa.generate_private_key(65537, 1024).public_key().public_numbers()
    return {"kty": "RSA", "n": base64url(numbers.n.to_bytes(128)), "e": "AQAB", "use": "sig", "kid": "small"}


def _off_curve(key: PrivateKey) -> bytes:
    y = bytearray(base64url_decode(key.public.jwk()["y"]))
    y[-1] ^= 1
    return jwks(jwk_of(key, y=base64url(bytes(y))))


# RFC 7517 appendix A.1; its n is that of RFC 7638 section 3.1.
RFC_7517_EC = {
    "kty": "EC",
    "crv": "P-256",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    "use": "enc",
    "kid": "1",
}

TYPE, SIZE = "registration.key.type", "registration.key.size"
PRIVATE, REPEATED = "registration.private_key", "registration.kid.repeated"
FORM, EMPTY, TEXT = "jwks.key.malformed", "jwks.empty", "jwks.malformed"
ALONE = {EMPTY: FAIL}

ODD: Mapping[str, OddSet] = {
    "as it should be": OddSet(changed(), {}, refused=False),
    "with alg": OddSet(changed(alg="PS256"), {}, refused=False),
    "with key_ops": OddSet(changed(key_ops=["verify"]), {}, refused=False),
    "foreign members": OddSet(changed(iat=1, x={"a": [None]}, x5t="AA", ext=True), {}, refused=False),
    "its own certificate": OddSet(lambda key: jwks(jwk_of(key, x5c=[certificate("rsa")])), {}, refused=False),
    # --- the text ---
    "byte order mark": OddSet(text(lambda it: b"\xef\xbb\xbf" + it.encode()), {TEXT: FAIL}, refused=True),
    "UTF-16": OddSet(text(lambda it: it.encode("utf-16")), {TEXT: FAIL}, refused=True),
    "UTF-16 without a mark": OddSet(text(lambda it: it.encode("utf-16-le")), {TEXT: FAIL}, refused=True),
    "Latin-1 in a kid": OddSet(
        lambda key: jwks(jwk_of(key, kid="K")).replace(b'"K"', b'"\xfc"'), {TEXT: WARN}, refused=False
    ),
    "trailing comma in the array": OddSet(text(lambda it: it.replace("}]", "},]")), {TEXT: FAIL}, refused=True),
    "trailing comma in the JWK": OddSet(text(lambda it: it.replace("}]", ",}]")), {TEXT: FAIL}, refused=True),
    "cut off": OddSet(text(lambda it: it[:-5]), {TEXT: FAIL}, refused=True),
    "a comment": OddSet(text(lambda it: "// keys\n" + it), {TEXT: FAIL}, refused=True),
    "single quotes": OddSet(text(lambda it: it.replace('"', "'")), {TEXT: FAIL}, refused=True),
    "NaN": OddSet(text(lambda it: it.replace("}]", ', "x": NaN}]')), {TEXT: FAIL}, refused=True),
    "a member twice": OddSet(text(lambda it: it.replace("}]", ', "kid": "b"}]')), {TEXT: WARN}, refused=False),
    "keys twice": OddSet(text(lambda it: '{"keys": [], ' + it[1:]), {TEXT: WARN}, refused=False),
    "HTML": OddSet(lambda _: b"<!doctype html><title>Sign in</title>", {TEXT: FAIL}, refused=True),
    "PEM": OddSet(lambda key: key.public.pem(), {TEXT: FAIL}, refused=True),
    "nothing": OddSet(lambda _: b"", {TEXT: FAIL}, refused=True),
    "nested too deeply": OddSet(lambda _: b"[" * 20_000 + b"]" * 20_000, {TEXT: FAIL}, refused=True),
    # --- the set ---
    "one JWK": OddSet(lambda key: json.dumps(jwk_of(key)).encode(), {TEXT: FAIL}, refused=True),
    "an array": OddSet(lambda key: json.dumps([jwk_of(key)]).encode(), {TEXT: FAIL}, refused=True),
    "null": OddSet(lambda _: b"null", {TEXT: FAIL}, refused=True),
    "keys under another name": OddSet(text(lambda it: it.replace('"keys"', '"Keys"')), {TEXT: FAIL}, refused=True),
    "keys is one JWK": OddSet(lambda key: json.dumps({"keys": jwk_of(key)}).encode(), {TEXT: FAIL}, refused=True),
    "keys by kid": OddSet(lambda key: json.dumps({"keys": {"a": jwk_of(key)}}).encode(), {TEXT: FAIL}, refused=True),
    "no key": OddSet(lambda _: jwks(), {EMPTY: FAIL}, refused=True),
    "null beside": OddSet(beside(None), {FORM: FAIL}, refused=True),
    "a text beside": OddSet(beside("key"), {FORM: FAIL}, refused=True),
    "one key under two kids": OddSet(
        lambda key: jwks(jwk_of(key), jwk_of(key, kid="old")), {"jwks.key.repeated": WARN}, refused=False
    ),
    "one kid for two keys": OddSet(
        lambda key: jwks({**others().jwk(), "kid": key.public.thumbprint()}, jwk_of(key)),
        {REPEATED: WARN},
        refused=False,
    ),
    "one kid for a key and for one that is passed over": OddSet(
        lambda key: jwks({**ed25519_jwk(), "kid": key.public.thumbprint()}, jwk_of(key)), {}, refused=False
    ),
    "no kid on one that is passed over": OddSet(beside(lambda: without(ed25519_jwk(), "kid")), {}, refused=False),
    "100 keys": OddSet(
        lambda key: jwks(jwk_of(key), *(jwk_of(generate("ec")) for _ in range(99))), {}, refused=False
    ),
    "101 keys": OddSet(
        lambda key: jwks(jwk_of(key), *(jwk_of(generate("ec")) for _ in range(100))),
        {"jwks.size": WARN},
        refused=False,
    ),
    "large": OddSet(lambda key: jwks(jwk_of(key, x="y" * 52_000)), {"jwks.size": WARN}, refused=False),
    # --- private ---
    "RFC 7517 appendix A.2": OddSet(beside({**RFC_7517_EC, "d": "c2VjcmV0"}), {PRIVATE: FAIL}, refused=True),
    "RFC 7517 appendix A.3": OddSet(
        beside({"kty": "oct", "alg": "A128KW", "k": "c2VjcmV0"}), {PRIVATE: FAIL}, refused=True
    ),
    "a symmetric key without its value": OddSet(beside({"kty": "oct"}), {PRIVATE: FAIL}, refused=True),
    "mine with its private members": OddSet(changed(d="c2VjcmV0", qi="AQ"), {PRIVATE: FAIL, **ALONE}, refused=True),
    "private members that are null, as of .NET": OddSet(changed(d=None, p=None), {FORM: FAIL, **ALONE}, refused=True),
    # --- kid ---
    "no kid": OddSet(lambda key: jwks(without(jwk_of(key), "kid")), {"jwks.kid.missing": WARN}, refused=False),
    "kid is a number": OddSet(changed(kid=1), {FORM: FAIL, **ALONE}, refused=True),
    "kid is null": OddSet(changed(kid=None), {FORM: FAIL, **ALONE}, refused=True),
    "kid is empty": OddSet(changed(kid=""), {FORM: FAIL, **ALONE}, refused=True),
    # --- what it is for ---
    "use enc": OddSet(changed(use="enc"), ALONE, refused=True),
    "use enc beside": OddSet(beside({**RFC_7517_EC, "alg": "ECDH-ES"}), {}, refused=False),
    "use in capitals": OddSet(changed(use="SIG"), {TYPE: FAIL, **ALONE}, refused=True),
    "use is an array": OddSet(changed(use=["sig"]), {FORM: FAIL, **ALONE}, refused=True),
    "use is empty": OddSet(changed(use=""), {FORM: FAIL, **ALONE}, refused=True),
    "no use": OddSet(lambda key: jwks(without(jwk_of(key), "use")), {}, refused=False),
    "alg of another type": OddSet(changed(alg="ES256"), {TYPE: FAIL, **ALONE}, refused=True),
    "alg RS512": OddSet(changed(alg="RS512"), {TYPE: FAIL, **ALONE}, refused=True),
    "alg for encryption": OddSet(changed(alg="RSA-OAEP"), {TYPE: FAIL, **ALONE}, refused=True),
    "alg is null": OddSet(changed(alg=None), {FORM: FAIL, **ALONE}, refused=True),
    "key_ops sign": OddSet(changed(key_ops=["sign"]), {TYPE: FAIL, **ALONE}, refused=True),
    "key_ops sign and verify": OddSet(changed(key_ops=["sign", "verify"]), {TYPE: FAIL, **ALONE}, refused=True),
    "key_ops is a text": OddSet(changed(key_ops="verify"), {TYPE: FAIL, **ALONE}, refused=True),
    "key_ops empty": OddSet(changed(key_ops=[]), {TYPE: FAIL, **ALONE}, refused=True),
    "another one that is for nothing": OddSet(
        lambda key: jwks({**others().jwk(), "kid": "a", "use": "verify"}, jwk_of(key)), {TYPE: WARN}, refused=False
    ),
    # --- other types beside ---
    "RFC 7517 appendix A.1": OddSet(beside(RFC_7517_EC), {}, refused=False),
    "EdDSA beside": OddSet(beside(ed25519_jwk), {}, refused=False),
    "P-384 beside": OddSet(beside(p384_jwk), {}, refused=False),
    "secp256k1 beside": OddSet(beside({"kty": "EC", "crv": "secp256k1", "kid": "k"}), {}, refused=False),
    "a type of the future beside": OddSet(beside({"kty": "PQ", "pub": "AA"}), {}, refused=False),
    "ML-DSA without its key beside": OddSet(beside({"kty": "AKP", "alg": "ML-DSA-44"}), {FORM: FAIL}, refused=True),
    "EdDSA alone": OddSet(lambda _: jwks(ed25519_jwk()), ALONE, refused=True),
    "no kty": OddSet(lambda key: jwks(without(jwk_of(key), "kty")), {FORM: FAIL, **ALONE}, refused=True),
    "kty in small letters": OddSet(changed(kty="rsa"), ALONE, refused=True),
    # --- numbers ---
    "zero in front of n": OddSet(
        lambda key: jwks(jwk_of(key, n=base64url(b"\0" + base64url_decode(key.public.jwk()["n"])))),
        {FORM: WARN},
        refused=False,
    ),
    "zero in front of e": OddSet(changed(e="AAEAAQ"), {FORM: WARN}, refused=False),
    "n with padding": OddSet(
        lambda key: jwks(jwk_of(key, n=key.public.jwk()["n"] + "==")), {FORM: WARN}, refused=False
    ),
    "n in the other base64": OddSet(
        lambda key: jwks(jwk_of(key, n=b64encode(base64url_decode(key.public.jwk()["n"])).decode())),
        {FORM: WARN},
        refused=False,
    ),
    "n is missing": OddSet(lambda key: jwks(without(jwk_of(key), "n")), {FORM: FAIL, **ALONE}, refused=True),
    "e is a number": OddSet(changed(e=65537), {FORM: FAIL, **ALONE}, refused=True),
    "e is one": OddSet(changed(e="AQ"), {FORM: FAIL, **ALONE}, refused=True),
    "e is even": OddSet(changed(e="AQAA"), {FORM: FAIL, **ALONE}, refused=True),
    "n of nothing": OddSet(changed(n="AA"), {FORM: FAIL, **ALONE}, refused=True),
    "1024 bits beside": OddSet(beside(small_jwk), {SIZE: WARN}, refused=False),
    "1024 bits alone": OddSet(lambda _: jwks(small_jwk()), {SIZE: FAIL, **ALONE}, refused=True),
    "x is too short": OddSet(
        lambda key: jwks(jwk_of(key, x=base64url(base64url_decode(key.public.jwk()["x"])[1:]))),
        {FORM: WARN},
        refused=False,
        key="short x",
    ),
    "not on the curve": OddSet(_off_curve, {FORM: FAIL, **ALONE}, refused=True, key="ec"),
    "y is missing": OddSet(
        lambda key: jwks(without(jwk_of(key), "y")), {FORM: FAIL, **ALONE}, refused=True, key="ec"
    ),
    "no curve": OddSet(lambda key: jwks(without(jwk_of(key), "crv")), {FORM: FAIL, **ALONE}, refused=True, key="ec"),
    # --- x5c ---
    "x5c only": OddSet(
        lambda _: jwks({"kty": "RSA", "use": "sig", "kid": "1", "x5c": [certificate("rsa")]}),
        {FORM: FAIL, **ALONE},
        refused=True,
    ),
    "x5c is a text": OddSet(changed(x5c="MII"), {FORM: FAIL, **ALONE}, refused=True),
    "x5c of numbers": OddSet(changed(x5c=[1]), {FORM: FAIL, **ALONE}, refused=True),
    "x5c of another key": OddSet(
        lambda key: jwks(jwk_of(key, x5c=[certificate("ec")])), {"jwks.x5c": WARN}, refused=False
    ),
    "x5c broken": OddSet(changed(x5c=["MIIB"]), {"jwks.x5c": WARN}, refused=False),
    "x5c empty": OddSet(changed(x5c=[]), {"jwks.x5c": WARN}, refused=False),
}
