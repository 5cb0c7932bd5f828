"""A Vault that answers as it is told: what a real one does wrong only when it is old, broken, or none."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from cryptography.hazmat.primitives.hashes import SHA256

from .loopback import LoopbackServer, Request, Says, says_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from banno_creds.jose.keys import PrivateKey


class Transit(LoopbackServer):
    """It has one key, of version 1, under every name, and signs with it as transit does.

    Attributes:
        requests: what it was asked.
        key_says: what it answers in the place of the key; ``sign_says`` in that of a signature, ``other_says`` to
            what else it is asked.
        changes: members of the key that are others.
        ignores: parameters that it passes over, as an old one does.
        dress: makes ``data.signature`` of the signature in base64.
    """

    def __init__(self, key: PrivateKey) -> None:
        super().__init__()
        self.key = key
        self.requests: list[Request] = []
        self.key_says: Callable[[], Says] | None = None
        self.sign_says: Callable[[], Says] | None = None
        self.other_says: Callable[[], Says] = lambda: says_json(403, errors=["permission denied"])
        self.changes: dict[str, Any] = {}
        self.ignores: tuple[str, ...] = ()
        self.dress: Callable[[str], object] | None = None

    def answer(self, request: Request) -> Says:
        self.requests.append(request)
        if "/sign/" in request.path:
            return self.sign_says() if self.sign_says else self._sign(json.loads(request.body))
        if "/keys/" in request.path and request.method == "POST":
            return Says(204)  # as an old one does
        if "/keys/" in request.path:
            return self.key_says() if self.key_says else self._key()
        return self.other_says()

    def _key(self) -> Says:
        kind = "rsa-2048" if self.key.type == "RSA" else "ecdsa-p256"
        versions = {"1": {"name": kind, "public_key": self.key.public.pem().decode()}}
        return says_json(data={"type": kind, "latest_version": 1, "keys": versions, **self.changes})

    def _sign(self, asked: dict[str, Any]) -> Says:
        asked = {name: value for name, value in asked.items() if name not in self.ignores}
        data, native = b64decode(asked["input"]), self.key.native
        text: str | None = None
        if isinstance(native, ec.EllipticCurvePrivateKey):
            signature = native.sign(data, ec.ECDSA(SHA256()))
            if asked.get("marshaling_algorithm") == "jws":
                r, s = utils.decode_dss_signature(signature)
                signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
                text = urlsafe_b64encode(signature).decode().rstrip("=")
        else:
            salt = 32 if asked.get("salt_length") == "hash" else padding.PSS.MAX_LENGTH
            pss = asked.get("signature_algorithm", "pss") == "pss"
            way = padding.PSS(padding.MGF1(SHA256()), salt) if pss else padding.PKCS1v15()
            signature = native.sign(data, way, SHA256())
        text = text or b64encode(signature).decode()
        return says_json(data={"signature": self.dress(text) if self.dress else f"vault:v1:{text}"})
