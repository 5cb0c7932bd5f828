"""Tell by its structure what DER is: a key, a certificate, parameters, a container of keys.

A PEM label says what somebody called it, and is often wrong; the structure decides. Reading here is bounded and
without recursion: nothing is decoded but the few elements that tell the kinds apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

PRIVATE = "a private key"
ENCRYPTED = "an encrypted private key"
PUBLIC = "a public key"
CERTIFICATE = "a certificate"
REQUEST = "a certificate request"
REVOCATIONS = "a certificate revocation list"
PKCS7 = "a PKCS#7 file (.p7b, .p7c)"
PKCS12 = "a PKCS#12 file (.p12, .pfx)"
BCFKS = "a BCFKS keystore of Bouncy Castle"
DH_PARAMETERS = "Diffie-Hellman parameters"
DSA_PARAMETERS = "DSA parameters"
EC_PARAMETERS = "EC parameters"

RSA = bytes.fromhex("2a864886f70d010101")
RSA_PSS = bytes.fromhex("2a864886f70d01010a")
_SHA = {bytes.fromhex(f"6086480165030402{n:02x}"): name for n, name in ((1, "256"), (2, "384"), (3, "512"))}
_MGF1 = bytes.fromhex("2a864886f70d010108")
# Keys that no JWT is signed with. Not even read: cryptography warns on standard error when it reads some of them.
FOREIGN = {
    bytes.fromhex("2a8648ce380401"): "DSA",
    bytes.fromhex("2a864886f70d010301"): "DH",
    bytes.fromhex("2a8648ce3e0201"): "DH",
}
_DATA = bytes.fromhex("2a864886f70d0107")  # the content types of PKCS #7
_FIELD = bytes.fromhex("2a8648ce3d01")  # what explicit EC parameters begin with
PRIME_FIELD = _FIELD + b"\x01"  # those of the curves over one
_SCRYPT = bytes.fromhex("2b06010401da47040b")
_PBES2 = bytes.fromhex("2a864886f70d01050d")

MOST_RSA_BITS = 16384  # OpenSSL's own limit: a larger key costs much time

_INTEGER, _BITS, _OCTETS, _OID, _SEQUENCE = 0x02, 0x03, 0x04, 0x06, 0x30
_VERSION, _CERTIFICATES = 0xA0, 0xA0
_TIMES = (0x17, 0x18)
_MOST_ELEMENTS = 1000  # a chain of certificates has a handful
# The numbers of a generator (RFC 2409, RFC 3526). No RSA key that was made in this century has such an exponent.
_GENERATORS = (2, 5)


class Element(NamedTuple):
    """An element: its tag, its content, and the whole of it."""

    tag: int
    content: bytes
    whole: bytes

    @property
    def number(self) -> int:
        """The content as an integer."""
        return int.from_bytes(self.content, "big", signed=True)


def elements(data: bytes) -> Iterator[Element]:
    """Yield one element after the other; a ValueError where the structure is broken.

    An element of open length (BER, which keystores have) is taken to reach to the end.
    """
    at = 0
    for _ in range(_MOST_ELEMENTS):
        if at >= len(data):
            return
        if at + 2 > len(data) or data[at] & 0x1F == 0x1F:
            raise ValueError("broken")
        tag, length, begin = data[at], data[at + 1], at + 2
        if length == 0x80:
            length = len(data) - begin
        elif length > 0x80:
            size = length & 0x7F
            length, begin = int.from_bytes(data[begin : begin + size], "big"), begin + size
        end = begin + length
        if end > len(data) or begin > len(data):
            raise ValueError("broken")
        yield Element(tag, data[begin:end], data[at:end])
        at = end
    raise ValueError("too many")


def parts(data: bytes) -> list[Element]:
    """Return the elements of a SEQUENCE, or of what has such a form; none if it is broken."""
    try:
        return list(elements(next(elements(data)).content))
    except (ValueError, StopIteration):
        return []


def only(data: bytes) -> bytes:
    """Return the first element alone: OpenSSL, too, passes over what follows, such as a line end."""
    try:
        return next(elements(data)).whole
    except (ValueError, StopIteration):
        return data


def kind_of(data: bytes) -> str | None:
    """Name what DER is, by one of this module's names; None if it is nothing that is known here."""
    if data[:1] == bytes([_OID]):
        return EC_PARAMETERS
    if data[:1] != bytes([_SEQUENCE]):
        return None
    of = parts(data)
    tags = [part.tag for part in of]
    match tags:
        case [0x02, 0x30, 0x04, *_] | [0x02, 0x04, *_]:
            return PRIVATE  # PKCS #8 (RFC 5958), SEC 1 (RFC 5915)
        case [0x30, 0x03]:
            return PUBLIC
        case [0x30, 0x04]:
            return ENCRYPTED
        case [0x30, 0x30, 0x03]:
            return _signed(of[0].whole)
        case [0x30, 0x30] if [part.tag for part in parts(of[0].whole)] == [_SEQUENCE, _OCTETS]:
            return BCFKS
        case [0x06, *_] if of[0].content.startswith(_DATA):
            return PKCS7
        case [0x02, 0x30, *_]:
            return _versioned(of)
    return _numbers(of)


def _numbers(of: list[Element]) -> str | None:
    """Name what consists of numbers: PKCS #1 (RFC 8017 appendix A.1), DSA's own form, parameters."""
    ints = [part for part in of if part.tag == _INTEGER]
    if len(ints) == len(of) == 2:
        return DH_PARAMETERS if ints[1].number in _GENERATORS else PUBLIC
    if len(ints) == len(of) == 3:
        return DH_PARAMETERS if ints[1].number in _GENERATORS else DSA_PARAMETERS
    if len(ints) in (6, 9) and len(of) - len(ints) <= 1:  # RSA of more than two primes has a SEQUENCE at its end
        return PRIVATE
    return None


def _versioned(of: list[Element]) -> str | None:
    inner = next(iter(parts(of[1].whole)), None)
    if inner is None or inner.tag != _OID:
        return None
    if of[0].number == 3 and inner.content.startswith(_DATA):
        return PKCS12
    return EC_PARAMETERS if inner.content.startswith(_FIELD) else None


def _signed(tbs: bytes) -> str | None:
    """Name what has a signature at its end, by what was signed (RFC 5280 sections 4.1 and 5.1, RFC 2986)."""
    tags = [part.tag for part in parts(tbs)]
    if tags[:1] == [_VERSION]:
        del tags[0]
    if tags[:6] == [_INTEGER, *[_SEQUENCE] * 5]:
        return CERTIFICATE
    if tags[:3] == [_INTEGER, _SEQUENCE, _SEQUENCE] and tags[3:4] in ([], [0xA0]):
        return REQUEST
    if any(tag in _TIMES for tag in tags[2:4]):
        return REVOCATIONS
    return None


# --- What is in it --------------------------------------------------------------------------------------------------


def algorithm_of(key: bytes) -> tuple[bytes, bytes]:
    """Return object identifier and parameters of the algorithm in SPKI or PKCS #8; both empty if there is none."""
    for part in parts(key)[:2]:
        if part.tag == _SEQUENCE:
            return _identified(part.whole)
    return b"", b""


def _identified(identifier: bytes) -> tuple[bytes, bytes]:
    """Return what an AlgorithmIdentifier consists of (RFC 5280 section 4.1.1.2)."""
    named = parts(identifier)
    if not named or named[0].tag != _OID:
        return b"", b""
    return named[0].content, named[1].whole if len(named) > 1 else b""


def rsa_bits(key: bytes) -> int:
    """Return the size of the largest number in an RSA key, in bits and without its sign; 0 if it is no such key."""
    own = key
    for _ in range(2):
        ints = [part for part in parts(own) if part.tag == _INTEGER]
        if len(ints) >= 2:
            return max(len(part.content.lstrip(b"\0")) for part in ints) * 8
        inside = [part for part in parts(own) if part.tag in (_OCTETS, _BITS)]
        if algorithm_of(own)[0] not in (RSA, RSA_PSS) or not inside:
            return 0
        own = inside[0].content.removeprefix(b"\0") if inside[0].tag == _BITS else inside[0].content
    return 0


def pss_digest(parameters: bytes) -> str | None:
    """Return which SHA-2 an id-RSASSA-PSS key is limited to, by its algorithm's parameters (RFC 4055 section 3.1).

    That is ``256``, ``384`` or ``512``; an empty text if any will do; None if no algorithm of JWTs fits.
    """
    if not parameters:
        return ""
    hashed, masked, salt = None, None, 20
    for part in parts(parameters):
        inner = parts(part.content)
        if part.tag == 0xA0 and inner:
            hashed = _SHA.get(inner[0].content)
        elif part.tag == 0xA1 and len(inner) == 2 and inner[0].content == _MGF1:
            masked = _SHA.get(next(iter(parts(inner[1].whole)), inner[1]).content)
        elif part.tag == 0xA2:
            salt = next(elements(part.content), part).number
    # RFC 7518 section 3.5: one hash for all, and a salt of its size; the key's parameters say the least salt.
    return hashed if hashed is not None and hashed == masked and salt * 8 <= int(hashed) else None


def key_of(certificate: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo of a certificate or a certificate request; empty if it is broken."""
    signed = parts(next(iter(parts(certificate)), Element(0, b"", b"")).whole)
    found = [part.whole for part in signed if part.tag == _SEQUENCE and kind_of(part.whole) == PUBLIC]
    return found[0] if found else b""


def names_of(certificate: bytes) -> tuple[bytes, bytes]:
    """Return the issuer and the subject of a certificate, as they are encoded."""
    signed = [part for part in parts(parts(certificate)[0].whole) if part.tag != _VERSION]
    return signed[2].whole, signed[4].whole


def certificates_in(pkcs7: bytes) -> list[bytes]:
    """Return the certificates in PKCS #7 (RFC 2315 section 9.1), in their order."""
    of = parts(pkcs7)
    signed = parts(of[1].content) if len(of) > 1 else []
    return [
        element.whole
        for part in signed
        if part.tag == _CERTIFICATES
        for element in parts(part.whole)
        if kind_of(element.whole) == CERTIFICATE
    ]


def cost_of_opening(key: bytes) -> tuple[int, int]:
    """Return what it costs to try a passphrase on an encrypted PKCS #8: rounds of hashing, and bytes of memory.

    For scrypt the rounds are its blocks; 0 is for what is not known.
    """
    oid, parameters = algorithm_of(key)
    of = parts(parameters)
    function = b""
    if oid == _PBES2 and of:
        function, inner = _identified(of[0].whole)
        of = parts(inner)
    # PBES1 and the schemes of PKCS #12 have the same form as PBKDF2: a salt, and the rounds.
    numbers = [part.number for part in of if part.tag == _INTEGER]
    if function == _SCRYPT and len(numbers) >= 3:
        work, size, lanes = numbers[:3]
        return work * size * lanes, 128 * work * size
    return (numbers[0] if numbers else 0), 0
