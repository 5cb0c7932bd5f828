"""The check that every holder has to pass, tried with a key in a package of the tests' own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Cli
    from tests.key_holders.granted import Granted


@pytest.mark.parametrize("alg", ["PS256", "RS256", "ES256"])
def test_the_provider_grants_a_token_to_a_held_key(toy_rsa: str, toy_ec: str, granted: Granted, alg: str) -> None:
    granted(toy_ec if alg == "ES256" else toy_rsa, alg)


def test_and_to_processes_of_their_own(toy_ec: str, granted: Granted, process: Cli) -> None:
    granted(toy_ec, "ES256", run=process)


@pytest.mark.parametrize("fault", ["salt", "swapped", "twice"])
def test_a_holder_that_signs_wrongly_does_not_pass(toy_rsa: str, granted: Granted, fault: str) -> None:
    with pytest.raises(AssertionError, match=r"client-assertion: .*signs wrongly"):
        granted(f"{toy_rsa}?{fault}", "PS256")
