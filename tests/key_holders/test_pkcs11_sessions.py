"""One session a process: threads at once, forks, tokens that go and come back, modules that hang."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from banno_creds import ClientConfig, KeySource, TokenSource
from banno_creds.errors import KeyLoadError, PassphraseError, SigningError
from banno_creds.key_holders import held_key
from banno_creds.key_holders.held_key import HeldSigner
from tests.conftest import CLIENT_ID
from tests.key_holders.softhsm import forget, library, make_key

if sys.platform != "win32":
    from posix import _exit  # the system's own: at os._exit, coverage writes what it measured

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.key_holders.softhsm import Served, SoftHsm
    from tests.servers.issuer import Issuer

RSA = "pkcs11:token=banno;object=signing"
EC = "pkcs11:token=banno;object=signing-ec"
pytestmark = [
    pytest.mark.posix("SoftHSM is a library of Linux here"),
    # The tests fork while threads run, as programs do: from Python 3.12 on that is a warning.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


@pytest.fixture
def logins(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The PINs that were given to tokens."""
    from banno_creds.key_holders import pkcs11_token

    given: list[object] = []
    real = pkcs11_token.attempt_login

    def counted(token: Any, pin: object, mapper: Any) -> Any:
        given.append(pin)
        return real(token, pin, mapper)

    monkeypatch.setattr(pkcs11_token, "attempt_login", counted)
    return given


def _signer(softhsm: SoftHsm, uri: str = EC) -> HeldSigner:
    key = held_key.open_key(uri, softhsm.pin.encode, 30)
    return HeldSigner(key, key.algorithms[0])


def _at_once(count: int, work: Callable[[int], object]) -> list[object]:
    """Begin work in several threads at the same moment; return what came of it, errors too."""
    barrier = threading.Barrier(count)

    def one(number: int) -> object:
        barrier.wait()
        try:
            return work(number)
        except Exception as failure:  # noqa: BLE001 - it is what came of it
            return failure

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_three_threads_open_a_token_at_once(softhsm: SoftHsm, logins: list[object]) -> None:
    opened = _at_once(3, lambda number: bool(_signer(softhsm, RSA if number else EC).sign(b"a.b")))
    assert opened == [True] * 3
    assert len(logins) == 1


def test_a_wrong_pin_of_many_threads_is_tried_once(softhsm: SoftHsm, logins: list[object]) -> None:
    failures = _at_once(8, lambda _: held_key.open_key(RSA, lambda: b"wrong-0000", 30))
    assert {type(failure) for failure in failures} == {PassphraseError}
    assert logins == ["wrong-0000"]


def test_eight_threads_make_two_hundred_signatures(softhsm: SoftHsm) -> None:
    signers = [_signer(softhsm, RSA), _signer(softhsm, EC), _signer(softhsm, EC)]

    def work(number: int) -> list[bytes]:
        return [signers[(number + turn) % 3].sign(f"{number}.{turn}".encode()) for turn in range(25)]

    made = _at_once(8, work)
    assert all(isinstance(each, list) for each in made), made
    assert len({signature for each in made for signature in each}) == 200  # type: ignore[attr-defined]


def test_a_source_of_tokens_serves_many_threads(softhsm: SoftHsm, issuer: Issuer) -> None:
    config = ClientConfig(CLIENT_ID, KeySource.at(EC), passphrase=softhsm.pin.encode, token_endpoint=issuer.url)
    sources = [TokenSource(config, on_disk=False) for _ in range(8)]
    tokens = _at_once(8, lambda number: sources[number].token().access_token)
    assert all(isinstance(token, str) for token in tokens), tokens


# --- tokens that go ---


def test_a_token_that_is_gone_is_said_and_used_again_when_it_is_back(softhsm: SoftHsm) -> None:
    signer = _signer(softhsm)
    assert signer.sign(b"a.b")
    place = softhsm.token_file().parent
    away = softhsm.folder / "away"
    shutil.move(place, away)
    for _ in range(2):
        with pytest.raises(KeyLoadError, match="no token here") as caught:
            signer.sign(b"a.b")
        assert caught.value.exit_code == 3
    shutil.move(away, place)
    assert signer.sign(b"a.b")


def test_a_key_that_is_gone_is_said(softhsm: SoftHsm) -> None:
    from pkcs11 import Attribute

    signer = _signer(softhsm)
    with library().get_token(token_label="banno").open(rw=True) as session:
        for thing in list(session.get_objects({Attribute.LABEL: "signing-ec"})):
            thing.destroy()
    with pytest.raises(KeyLoadError, match="has no private key that"):
        signer.sign(b"a.b")


def test_another_key_in_its_place_is_not_used(softhsm: SoftHsm) -> None:
    from pkcs11 import Attribute

    signer = _signer(softhsm)
    session = library().get_token(token_label="banno").open(rw=True)
    for thing in list(session.get_objects({Attribute.LABEL: "signing-ec"})):
        thing.destroy()
    make_key(session, "secp256r1", "signing-ec", b"\x02")
    with pytest.raises(SigningError, match="another key signed"):
        signer.sign(b"a.b")


def test_a_session_that_somebody_closed_is_opened_anew(softhsm: SoftHsm, logins: list[object]) -> None:
    from banno_creds.key_holders import pkcs11_token

    signer = _signer(softhsm)
    for module in pkcs11_token._modules.values():
        for session in module.sessions.values():
            session.close()
    assert signer.sign(b"a.b")
    assert len(logins) == 2
    library().finalize()  # so does a program that uses the same module
    assert signer.sign(b"a.b")
    library().reinitialize()
    assert signer.sign(b"a.b")


@pytest.mark.parametrize("name", ["SessionHandleInvalid", "DeviceError", "TokenNotPresent", "GeneralError"])
def test_a_failure_of_the_device_is_met_with_a_new_session(
    softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import pkcs11

    signer = _signer(softhsm)
    key: Any = signer.key.signing_key
    failures = 1
    real = key._signed

    def signed(*given: Any) -> bytes:
        nonlocal failures
        if failures:
            failures -= 1
            raise getattr(pkcs11, name)
        made: bytes = real(*given)
        return made

    monkeypatch.setattr(key, "_signed", signed)
    assert signer.sign(b"a.b")
    failures = 9
    with pytest.raises(SigningError, match=f"did not sign: {name}"):
        signer.sign(b"a.b")
    assert failures >= 4  # it gives up
    failures = 0
    assert signer.sign(b"a.b")


def test_a_module_that_somebody_ended_is_begun_anew(softhsm: SoftHsm) -> None:
    signer = _signer(softhsm)
    forget()
    assert signer.sign(b"a.b")


def test_a_session_in_which_a_key_cannot_be_read_is_not_used_again(
    softhsm: SoftHsm, logins: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    import pkcs11

    from banno_creds.key_holders.pkcs11 import Pkcs11Key

    read = Pkcs11Key._read

    def fails(*_: object) -> None:
        monkeypatch.setattr(Pkcs11Key, "_read", read)
        raise pkcs11.SessionHandleInvalid

    monkeypatch.setattr(Pkcs11Key, "_read", fails)
    assert _signer(softhsm).sign(b"a.b")
    assert len(logins) == 2


def test_a_program_that_is_logged_in_already_is_no_obstacle(softhsm: SoftHsm, logins: list[object]) -> None:
    own = library().get_token(token_label="banno").open(user_pin=softhsm.pin)
    assert _signer(softhsm).sign(b"a.b")
    assert list(own.get_objects())  # and goes on


# --- a token in another process, whose module knows of forks ---


@pytest.fixture
def away(served_softhsm: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    """The token is in another process; the variables lead to it."""
    for name, value in served_softhsm.variables.items():
        monkeypatch.setenv(name, value)
    return served_softhsm


def test_a_connection_that_was_lost_is_made_anew(softhsm: SoftHsm, away: Served) -> None:
    signer = _signer(softhsm)
    away.signal_children(signal.SIGKILL)
    assert signer.sign(b"a.b")
    away.end()
    for _ in range(2):
        with pytest.raises(KeyLoadError):
            signer.sign(b"a.b")
    away.start()
    assert signer.sign(b"a.b")


def test_a_token_that_does_not_answer_is_waited_for_as_long_as_is_allowed(softhsm: SoftHsm, away: Served) -> None:
    key = held_key.open_key(EC, softhsm.pin.encode, 0.5)
    signer = HeldSigner(key, "ES256")
    away.signal_children(signal.SIGSTOP)
    try:
        for _ in range(2):
            with pytest.raises(SigningError, match=r"did not answer within 0\.5 s"):
                signer.sign(b"a.b")
    finally:
        away.signal_children(signal.SIGCONT)
    assert HeldSigner(held_key.open_key(EC, softhsm.pin.encode, 30), "ES256").sign(b"a.b")


def test_a_forked_process_leaves_the_connection_of_its_parent_alone(softhsm: SoftHsm, away: Served) -> None:
    signer = _signer(softhsm)
    assert _in_child(lambda: signer.sign(b"a.b")) == 0
    assert signer.sign(b"a.b")


# --- forks ---


def _in_child(work: Callable[[], object]) -> int:
    """Do something in a forked process; return its exit code, 0 if it went well."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            _exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_forked_process_and_its_parent_both_sign(softhsm: SoftHsm) -> None:
    signer = _signer(softhsm)
    assert _in_child(lambda: [signer.sign(b"a.b") for _ in range(3)]) == 0
    assert _in_child(lambda: _signer(softhsm, RSA).sign(b"a.b")) == 0
    assert _in_child(lambda: _in_child(lambda: signer.sign(b"a.b")) == 0 or _exit(7)) == 0
    assert signer.sign(b"a.b")


def test_all_threads_of_a_forked_process_may_sign(softhsm: SoftHsm) -> None:
    signer = _signer(softhsm)

    def work() -> None:
        signed: list[bytes] = []
        thread = threading.Thread(target=lambda: signed.append(signer.sign(b"a.b")), daemon=True)
        thread.start()
        thread.join(20)
        assert signed

    assert _in_child(work) == 0


def test_a_forked_process_takes_over_no_session(softhsm: SoftHsm) -> None:
    from banno_creds.key_holders import pkcs11_token

    _signer(softhsm)
    [used] = [module for module in pkcs11_token._modules.values() if module.sessions]
    assert _in_child(lambda: _exit(8 if used.sessions else 0)) == 0
    assert used.sessions


def test_a_process_may_fork_while_others_sign(softhsm: SoftHsm) -> None:
    signer = _signer(softhsm)
    ended = threading.Event()
    failures: list[Exception] = []

    def sign() -> None:
        while not ended.is_set():
            try:
                signer.sign(b"a.b")
            except Exception as failure:  # noqa: BLE001 - it fails the test below
                failures.append(failure)

    threads = [threading.Thread(target=sign) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        assert [_in_child(lambda: signer.sign(b"a.b")) for _ in range(5)] == [0] * 5
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert failures == []


def test_a_module_that_hangs_does_not_keep_its_program_from_forking(
    has_softhsm: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from banno_creds.key_holders import pkcs11_token

    waited: list[float] = []

    class Busy:
        def acquire(self, timeout: float = -1) -> bool:
            waited.append(timeout)
            return False

        def release(self) -> None:
            raise RuntimeError

    module = pkcs11_token.Module("/module.so")
    monkeypatch.setattr(module, "lock", Busy())
    monkeypatch.setattr(pkcs11_token, "_modules", {module.path: module})
    pkcs11_token._before_fork()
    pkcs11_token._after_fork()
    assert waited == [5]


# A program of its own: a pool ends its processes by a signal, and in one that was forked from a test, what measures
# coverage may then let the rest of the tests run a second time.
_POOL = """
import multiprocessing, sys
from banno_creds.key_holders.held_key import HeldSigner, open_key

def sign(pin):
    return len(HeldSigner(open_key(sys.argv[2], pin.encode, 30), "ES256").sign(b"a.b"))

if __name__ == "__main__":
    pin = sys.stdin.read()
    sign(pin)
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        print(pool.map(sign, [pin] * 4))
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing_signs(softhsm: SoftHsm, tmp_path: Path, method: str) -> None:
    program = tmp_path / "pool.py"
    program.write_text(_POOL)
    done = subprocess.run(
        [sys.executable, program, method, EC],
        input=softhsm.pin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "[64, 64, 64, 64]\n"), done.stderr


# --- a module that hangs in C ---


@pytest.fixture
def hanging(softhsm: SoftHsm) -> SoftHsm:
    """A module that waits in C for ever: what should be its token's file is a pipe that nobody writes to."""
    file = softhsm.token_file()
    file.unlink()
    os.mkfifo(file)
    return softhsm


_SIGN = ("-m", "banno_creds", "sign-jwt", "--client-id", CLIENT_ID, "--private-key", RSA)


def test_a_module_that_hangs_has_the_time_of_a_request(hanging: SoftHsm) -> None:
    done = subprocess.run(
        [sys.executable, *_SIGN, "--timeout", "1"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 3
    assert "did not answer within 1 s" in " ".join(done.stderr.split())


def test_ctrl_c_ends_a_program_whose_module_hangs(hanging: SoftHsm) -> None:
    with subprocess.Popen([sys.executable, *_SIGN], stderr=subprocess.PIPE) as child:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not _waits(child.pid):
            time.sleep(0.02)
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == 130


def _waits(pid: int) -> bool:
    """Return whether a process has loaded SoftHSM, and a second thread is in it."""
    of = Path("/proc", str(pid))
    return "libsofthsm2" in (of / "maps").read_text() and len(list((of / "task").iterdir())) > 1


def test_what_came_too_late_is_not_begun_and_a_forked_process_waits_for_nothing() -> None:
    pytest.importorskip("pkcs11")
    from banno_creds.key_holders.pkcs11_token import Module, NotAnsweringError

    module, goes_on, begun = Module("module.so"), threading.Event(), []
    with pytest.raises(NotAnsweringError):
        module.run(goes_on.wait, 0.01)
    with pytest.raises(NotAnsweringError):
        module.run(lambda: begun.append(1), 0.01)
    of_parent = module._last
    module.forked()
    assert module.run(lambda: 7, 20) == 7
    goes_on.set()
    assert of_parent is not None
    assert of_parent.done.wait(20)
    assert begun == []
