"""Find the key that made the signature of a JWT.

PyJWT does the arithmetic; this module decides which keys and algorithms it may use. ``alg: none`` is refused, and a
public key is never used as the secret of an HMAC (RFC 8725 section 3.1).
"""

from __future__ import annotations

import re
from base64 import b64decode
from contextlib import suppress
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from jwt.algorithms import get_default_algorithms

from banno_creds.errors import TokenError
from banno_creds.jose.encoding import base64url_decode
from banno_creds.jose.jwks import EDWARDS_ALGORITHMS
from banno_creds.jose.libraries import UnreadableError, read_by
from banno_creds.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding

    from banno_creds.jose.decode import DecodedToken
    from banno_creds.jose.jwks import Native, VerificationKey


def verify_signature(token: DecodedToken, keys: Sequence[VerificationKey]) -> VerificationKey:
    """Find the key that made a token's signature; keys with another ``kid`` than the token's are not tried.

    Raises:
        TokenError: none of the keys made the signature, or none of them may verify the token's ``alg``.
    """
    alg, kid = token.header.get("alg"), token.header.get("kid")
    if alg == "none" or not isinstance(alg, str):
        raise TokenError(
            "the token is not signed at all (alg none)" if alg == "none" else "the token's header names no alg",
            hint="anybody could have written it: do not rely on it",
        )
    if alg.startswith("HS"):
        raise TokenError(
            f"the token says it is signed with a shared secret ({printable(alg, 20)}), and a public key is not one",
            hint="do not rely on it: taking a public key for a secret is a known way to forge tokens",
        )
    if "crit" in token.header:
        raise TokenError(
            "the token's header has critical extensions (crit), which banno-creds does not know",
            hint="verify it with software made for that extension",
        )
    named = [key for key in keys if kid is None or key.kid is None or key.kid == kid]
    if not named:
        raise TokenError(
            f"no key with the token's kid {printable(kid, 80)!a} is known",
            details=("known: " + ", ".join(sorted(printable(key.kid, 80) for key in keys)),),
            hint="check that the keys are those of the token's issuer; after a key rotation fetch them again",
        )
    fitting = [key for key in named if alg in key.algorithms]
    if not fitting:
        kinds = ", ".join(sorted({key.description for key in named}))
        raise TokenError(
            f"the token says alg {printable(alg, 20)}, which no key here may verify ({kinds})",
            hint="check that the key is that of the token's issuer",
        )
    for key in fitting:
        if made_by(key, token.compact, alg):
            return key
    raise TokenError(
        "the signature does not verify: the token was changed, or another key signed it",
        details=tuple(f"tried: {key.description}" for key in fitting[:5]),
        hint="check that the key is that of the token's issuer; otherwise do not rely on the token",
    )


def made_by(key: VerificationKey, compact: str, alg: str) -> bool:
    """Return whether a key made the signature of a compact JWS that `decode` could read, by one of its algorithms."""
    # PyJWT's arithmetic without PyJWT's parser: the header that counts is the one that `decode` read strictly.
    algorithm = get_default_algorithms()["EdDSA" if alg in EDWARDS_ALGORITHMS else alg]
    signing_input, _, signature = compact.rpartition(".")
    try:
        return read_by(
            lambda: algorithm.verify(signing_input.encode("ascii"), key.native, base64url_decode(signature))
        )
    except UnreadableError:  # such as an exponent that OpenSSL refuses to work with
        return False


_AS_BYTES = "put the signature's bytes into base64url, and nothing in between"
_FOR_ES256 = (
    "send R and S, 32 bytes each: in Java SHA256withECDSAinP1363Format, in .NET IeeeP1363, in Node ieee-p1363"
)
_FOR_PS256 = "sign with PSS, a salt of 32 bytes, and SHA-256 for the digest and for MGF1, or correct alg"
_MOST_BITS_TO_TRY = 8192  # some forty forms are tried, and a larger key would take seconds
_FOR_RS256 = "sign with PKCS #1 v1.5 and SHA-256, or correct alg"


def wrong_form(key: VerificationKey, compact: str, alg: str) -> tuple[str, str] | None:
    """Find the wrong form in which a key made a signature; crypto libraries produce such forms by default.

    Return the form in words, and the fix; None if the key did not make the signature in any known form.
    """
    signing_input, _, part = compact.rpartition(".")
    for signature, packed in _unpacked(part):
        form = _form(key.native, alg, signing_input.encode("ascii"), signature)
        if form is not None and (packed or form[0]):
            said, fix = form
            said = f"{packed} and {said}" if packed and said else packed or said
            return said, _AS_BYTES if packed else fix
    return None


def _unpacked(part: str) -> Iterator[tuple[bytes, str]]:
    """Yield the bytes that a signature may stand for, each with words for an encoding other than base64url."""
    with suppress(ValueError):
        yield bytes.fromhex(part), "as hex text in place of base64url"
    data = base64url_decode(part)
    yield data, ""
    if re.fullmatch(rb"[0-9A-Fa-f]+", data):
        with suppress(ValueError):
            yield bytes.fromhex(data.decode("ascii")), "as hex text, which was put into base64url"
    elif re.fullmatch(rb"[A-Za-z0-9+/_-]+={0,2}", data):
        with suppress(ValueError):
            padded = data.rstrip(b"=") + b"=" * (-len(data.rstrip(b"=")) % 4)
            yield b64decode(padded.translate(bytes.maketrans(b"-_", b"+/"))), "in base64 twice"


def _form(native: Native, alg: str, signing_input: bytes, signature: bytes) -> tuple[str, str] | None:
    """Return the form of a signature (empty if it is right) and the fix; None if the key did not make it."""
    if isinstance(native, EllipticCurvePublicKey):
        if len(signature) == 64:
            r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
            return ("", "") if _made_ec(native, encode_dss_signature(r, s), signing_input) else None
        if not _made_ec(native, signature, signing_input):
            return None
        return f"in DER ({len(signature)} bytes) and not as R and S", _FOR_ES256
    if not isinstance(native, RSAPublicKey) or native.key_size > _MOST_BITS_TO_TRY:
        return None
    digests = (hashes.SHA256(), hashes.SHA1(), hashes.SHA384(), hashes.SHA512())  # noqa: S303 - looked for, not used
    for digest in digests:
        name = digest.name.upper().replace("SHA", "SHA-")
        if _made_rsa(native, signature, signing_input, PKCS1v15(), digest):
            right = alg == "RS256" and name == "SHA-256"
            return ("", "") if right else (f"with PKCS #1 v1.5 and {name}", _fix_for(alg))
        for of_mask in digests:
            mask = of_mask.name.upper().replace("SHA", "SHA-")
            if _made_rsa(native, signature, signing_input, PSS(MGF1(of_mask), PSS.AUTO), digest):
                exact = PSS(MGF1(of_mask), 32)
                with_32 = _made_rsa(native, signature, signing_input, exact, digest)
                if alg == "PS256" and with_32 and name == mask == "SHA-256":
                    return "", ""
                salt = "" if with_32 else ", and a salt that is not of 32 bytes"
                return f"with PSS, {name}, MGF1 with {mask}{salt}", _fix_for(alg)
    return None


def _fix_for(alg: str) -> str:
    return _FOR_PS256 if alg == "PS256" else _FOR_RS256


def _made_ec(native: EllipticCurvePublicKey, signature: bytes, signing_input: bytes) -> bool:
    try:
        native.verify(signature, signing_input, ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def _made_rsa(
    native: RSAPublicKey,
    signature: bytes,
    signing_input: bytes,
    padding: AsymmetricPadding,
    digest: hashes.HashAlgorithm,
) -> bool:
    try:
        native.verify(signature, signing_input, padding, digest)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True
