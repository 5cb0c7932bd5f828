"""A signature is what JWS wants, to the byte; of another one it is said what it is."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm

from banno_creds.jose import keys
from banno_creds.key_holders.wrong_signature import explain, verifies

pytestmark = pytest.mark.once

MESSAGE = b"header.payload"
EC, RSA = keys.generate("ec"), keys.generate("rsa")


def by_ec(message: bytes = MESSAGE, size: int = 32) -> bytes:
    assert isinstance(EC.native, ec.EllipticCurvePrivateKey)
    numbers = utils.decode_dss_signature(EC.native.sign(message, ec.ECDSA(SHA256())))
    return b"".join(number.to_bytes(size, "big") for number in numbers)


def by_pss(salt: int = 32, mask: HashAlgorithm | None = None, message: bytes = MESSAGE) -> bytes:
    way = padding.PSS(padding.MGF1(mask or SHA256()), salt)
    signature: bytes = RSA.native.sign(message, way, SHA256())  # type: ignore[call-arg, arg-type]
    return signature


def test_what_jws_wants_verifies() -> None:
    assert verifies(EC.public.native, "ES256", MESSAGE, by_ec())
    assert verifies(RSA.public.native, "PS256", MESSAGE, by_pss())
    assert not verifies(RSA.public.native, "RS256", MESSAGE, by_pss())


@pytest.mark.parametrize("size", [33, 48, 66])
def test_r_and_s_with_zeros_in_front_are_refused(size: int) -> None:
    """The numbers are the right ones, and a server that counts the bytes refuses them."""
    assert not verifies(EC.public.native, "ES256", MESSAGE, by_ec(size=size))


@pytest.mark.parametrize("salt", [0, 20, 31, 33, 222])
def test_another_salt_is_refused_and_named(salt: int) -> None:
    signature = by_pss(salt)
    assert not verifies(RSA.public.native, "PS256", MESSAGE, signature)
    assert "a salt of another length" in str(explain(RSA.public.native, "PS256", MESSAGE, signature, "the key"))


def test_another_mask_is_refused_and_named() -> None:
    signature = by_pss(mask=SHA1())
    assert not verifies(RSA.public.native, "PS256", MESSAGE, signature)
    assert "another mask (MGF1)" in str(explain(RSA.public.native, "PS256", MESSAGE, signature, "the key"))


def test_what_is_hashed_twice_is_named_in_each_form() -> None:
    twice = hashlib.sha256(MESSAGE).digest()
    r_and_s = by_ec(twice)
    half = len(r_and_s) // 2
    der = utils.encode_dss_signature(*(int.from_bytes(each) for each in (r_and_s[:half], r_and_s[half:])))
    for signature, words in ((r_and_s, "it hashes twice, and ES256"), (der, "it hashes twice, and gives DER")):
        assert words in str(explain(EC.public.native, "ES256", MESSAGE, signature, "the key"))
    pss = by_pss(message=twice)
    assert "it hashes twice" in str(explain(RSA.public.native, "PS256", MESSAGE, pss, "the key"))


@pytest.mark.parametrize("signature", [b"", b"\0", b"\0" * 64, b"\xff" * 64, b"0" * 256, b"x" * 63])
def test_what_is_no_signature_is_no_fault_of_its_form(signature: bytes) -> None:
    for key, alg in ((EC.public.native, "ES256"), (RSA.public.native, "PS256"), (RSA.public.native, "RS256")):
        assert not verifies(key, alg, MESSAGE, signature)
        assert "does not verify with its own public half" in str(explain(key, alg, MESSAGE, signature, "the key"))
