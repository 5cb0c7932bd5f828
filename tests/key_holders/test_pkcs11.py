"""Keys on a token of SoftHSM, which is a real PKCS #11 module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Cli
    from tests.key_holders.granted import Granted
    from tests.key_holders.softhsm import SoftHsm

RSA = "pkcs11:token=banno;object=signing"
EC = "pkcs11:token=banno;object=signing-ec"


@pytest.mark.parametrize("alg", ["PS256", "RS256", "ES256"])
def test_the_provider_grants_a_token_to_a_key_on_a_token(softhsm: SoftHsm, granted: Granted, alg: str) -> None:
    granted(EC if alg == "ES256" else RSA, alg)


def test_and_to_processes_of_their_own(softhsm: SoftHsm, granted: Granted, process: Cli) -> None:
    granted(EC, "ES256", run=process, env={**softhsm.variables, "BANNO_CREDS_PKCS11_PIN": softhsm.pin})
