"""Whole-process time of `sign-jwt` with a key that is held elsewhere, and how long its holder takes: ``make bench``.

Each holder is the one of the tests: SoftHSM, OpenBao's transit engine, a stand-in for AWS KMS. Its own signing time
is that of one signature in an open session. The rest is Python, the way to the holder, and its library.
"""

from __future__ import annotations

import argparse
import base64
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.key_holders import softhsm
from tests.key_holders.ministack import running_ministack
from tests.key_holders.openbao import running_openbao

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PROGRAM = str(Path(sys.executable).with_name("banno-creds"))
SIGN = [PROGRAM, "sign-jwt", "-q", "--client-id", "199e6f35-4e9a-482e-b980-b10308aa428a", "--private-key"]
SIGNING_INPUT = b"a signing input of the usual size " * 10


class Row(NamedTuple):
    """A key, and what signs with it alone; None for a key file, which this process cannot tell from the rest."""

    name: str
    place: str
    variables: Mapping[str, str]
    signs_alone: Callable[[], object] | None


def _soft_hsm(folder: Path) -> Row:
    import pkcs11

    hsm = softhsm.SoftHsm(folder).start()
    hsm.make_token("bench")
    os.environ |= hsm.variables
    pin = folder / "pin"
    pin.touch(0o600)
    pin.write_text(hsm.pin)
    session = softhsm.library().get_token(token_label="bench").open(rw=True, user_pin=hsm.pin)
    _, key = softhsm.make_key(session, "RSA", "key", b"1")
    way = {"mechanism": pkcs11.Mechanism.SHA256_RSA_PKCS_PSS}
    parameters = (pkcs11.Mechanism.SHA256, pkcs11.MGF.SHA256, 32)
    uri = f"pkcs11:token=bench;object=key?pin-source={pin}"
    return Row("SoftHSM", uri, hsm.variables, lambda: key.sign(SIGNING_INPUT, mechanism_param=parameters, **way))


def _transit(folder: Path, stack: ExitStack) -> Row:
    import httpx

    vault = stack.enter_context(running_openbao(folder, mounts=["transit"]))
    key = vault.key("rsa-2048")
    http = httpx.Client(base_url=vault.address, headers={"x-vault-token": vault.root})
    asked = {
        "input": base64.b64encode(SIGNING_INPUT).decode(),
        "signature_algorithm": "pss",
        "salt_length": "hash",
    }
    url = f"/v1/transit/sign/{key}/sha2-256"
    return Row("OpenBao transit", f"vault:transit/{key}", vault.variables(), lambda: http.post(url, json=asked))


def _kms(folder: Path, stack: ExitStack) -> Row:
    kms = stack.enter_context(running_ministack(folder))
    key = kms.key("RSA_2048")
    asked = {"KeyId": key, "Message": SIGNING_INPUT, "SigningAlgorithm": "RSASSA_PSS_SHA_256"}
    return Row("KMS stand-in", f"awskms:{key}", kms.variables, lambda: kms.kms.sign(**asked))


def _milliseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def _whole(row: Row) -> float:
    environment = os.environ | row.variables
    return _milliseconds(
        lambda: subprocess.run([*SIGN, row.place], env=environment, stdout=subprocess.DEVNULL, check=True)
    )


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="how often each is run")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        subprocess.run([PROGRAM, "keygen", "-q"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        places = [folder / each for each in ("softhsm", "openbao", "ministack")]
        for place in places:
            place.mkdir(mode=0o700)
        rows = [
            Row("a key file", str(folder / "private.pem"), {}, None),
            _soft_hsm(places[0]),
            _transit(places[1], stack),
            _kms(places[2], stack),
        ]
        whole: dict[str, list[float]] = {row.name: [] for row in rows}
        alone: dict[str, list[float]] = {row.name: [] for row in rows if row.signs_alone is not None}
        for number in range(rounds + 1):
            for row in rows:
                seen = _whole(row), _milliseconds(row.signs_alone or (lambda: None))
                if number:  # the first round warms the file cache
                    whole[row.name].append(seen[0])
                    if row.name in alone:
                        alone[row.name].append(seen[1])
    print(f"\nsign-jwt with a key that is held elsewhere, RSA 2048, PS256, {rounds} rounds\n")
    print(f"{'':<20}{'median':>9}{'holder alone':>14}{'over it':>10}{'/ key file':>12}")
    file = statistics.median(whole["a key file"])
    for row in rows:
        median = statistics.median(whole[row.name])
        if row.name not in alone:
            print(f"{row.name:<20}{median:>6.0f} ms{'-':>14}{'-':>10}{1:>12.2f}")
            continue
        own = statistics.median(alone[row.name])
        print(f"{row.name:<20}{median:>6.0f} ms{own:>11.1f} ms{median - own:>7.0f} ms{median / file:>12.2f}")


if __name__ == "__main__":
    main()
