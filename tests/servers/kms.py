"""A KMS that answers as it is told: what AWS does, and what the stand-in for it does not."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from cryptography.hazmat.primitives.hashes import SHA256

from .loopback import LoopbackServer, Request, Says

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from banno_creds.jose.keys import PrivateKey

ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def says_amz(status: int = 200, **members: Any) -> Says:
    """Return an answer in the form of KMS."""
    return Says(status, json.dumps(members).encode(), {"content-type": "application/x-amz-json-1.1"})


def says_fault(code: str, words: str = "the words of AWS", status: int = 400) -> Says:
    """Return an error in the form of KMS."""
    return says_amz(status, __type=code, message=words)


class Kms(LoopbackServer):
    """It has one key under every name, and signs with it as KMS does.

    Attributes:
        asked: each operation and its members.
        requests: what it was sent.
        says: what it answers in the place of an operation's own answer, by the operation's name.
        changes: members of the public key's answer that are others; None takes one away.
        salt: the length of the salt of RSASSA-PSS.
        dress: makes another signature of the right one.
    """

    def __init__(self, key: PrivateKey, context: ssl.SSLContext | None = None) -> None:
        super().__init__(context=context)
        self.key = key
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.requests: list[Request] = []
        self.says: dict[str, Callable[[], Says]] = {}
        self.changes: dict[str, Any] = {}
        self.salt = 32
        self.dress: Callable[[bytes], bytes] = lambda signature: signature

    def answer(self, request: Request) -> Says:
        operation, members = request.headers["x-amz-target"].partition(".")[2], json.loads(request.body)
        self.requests.append(request)
        self.asked.append((operation, members))
        if operation in self.says:
            return self.says[operation]()
        return self._sign(members) if operation == "Sign" else self.answer_public()

    def answer_public(self) -> Says:
        """Return the answer to GetPublicKey."""
        is_rsa = self.key.type == "RSA"
        algorithms = ["RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PSS_SHA_256", "RSASSA_PSS_SHA_512"]
        members = {
            "KeyId": ARN,
            "PublicKey": b64encode(self.key.public.spki()).decode(),
            "KeySpec": "RSA_2048" if is_rsa else "ECC_NIST_P256",
            "KeyUsage": "SIGN_VERIFY",
            "SigningAlgorithms": algorithms if is_rsa else ["ECDSA_SHA_256"],
            **self.changes,
        }
        return says_amz(**{name: value for name, value in members.items() if value is not None})

    def _sign(self, asked: dict[str, Any]) -> Says:
        assert asked["MessageType"] == "DIGEST"
        digest, native, hashed = b64decode(asked["Message"]), self.key.native, utils.Prehashed(SHA256())
        if isinstance(native, ec.EllipticCurvePrivateKey):
            signature = native.sign(digest, ec.ECDSA(hashed))
        else:
            pss = padding.PSS(padding.MGF1(SHA256()), self.salt)
            signature = native.sign(digest, pss if "PSS" in asked["SigningAlgorithm"] else padding.PKCS1v15(), hashed)
        signed = b64encode(self.dress(signature)).decode()
        return says_amz(KeyId=ARN, Signature=signed, SigningAlgorithm=asked["SigningAlgorithm"])
