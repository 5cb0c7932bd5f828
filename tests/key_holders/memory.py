"""The memory of a running process, and what of a private key is in it."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from banno_creds.jose import keys

_PIECE = 24  # bytes of a number, which are in no other place by chance


def private_pieces(key: keys.PrivateKey) -> dict[str, bytes]:
    """Return parts of a private key's numbers in the forms that programs have them in."""
    numbers = key.native.private_numbers()
    names = ("d", "p", "q", "dmp1", "dmq1", "iqmp") if isinstance(key.native, RSAPrivateKey) else ("private_value",)
    found: dict[str, bytes] = {}
    for name in names:
        number: int = getattr(numbers, name)
        whole = number.to_bytes((number.bit_length() + 7) // 8, "big")
        part = whole[4 : 4 + _PIECE]
        found |= {
            f"{name}, as in DER": part,
            f"{name}, as a number of OpenSSL": part[::-1],
            f"{name} in hex": part.hex().encode(),
            f"{name} in HEX": part.hex().upper().encode(),
            f"{name} in decimal": str(number)[4:44].encode(),
            f"{name} in base64url": base64.urlsafe_b64encode(whole)[:32],
            # As Python has a number: 30 bits in each 32.
            f"{name}, as a number of Python": _as_python(number)[8:40],
        }
    lines = key.pem().splitlines()[1:-1]
    return found | {f"line {place} of the PEM": line for place, line in enumerate(lines) if len(line) > 60}


def _as_python(number: int) -> bytes:
    digits = []
    while number:
        digits.append((number & (1 << 30) - 1).to_bytes(4, "little"))
        number >>= 30
    return b"".join(digits)


def found_in(pid: int, pieces: dict[str, bytes]) -> set[str]:
    """Return the names of the pieces that are in what a process may write to in its memory."""
    found: set[str] = set()
    for part in _parts(pid):
        found |= {name for name, piece in pieces.items() if piece in part}
    return found


def _parts(pid: int) -> Iterator[bytes]:
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            region = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if region is not None and "[vvar" not in line:
                begin, end = (int(each, 16) for each in region.groups())
                memory.seek(begin)
                try:
                    yield memory.read(end - begin)
                except OSError:  # reserved, and not there
                    continue
