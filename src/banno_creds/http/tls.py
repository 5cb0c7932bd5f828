"""TLS in small steps: no step waits for the network, so that a fork waits for no server; see `threads.no_fork`."""

from __future__ import annotations

import os
import select
import ssl
import sys
import time
from typing import TYPE_CHECKING, Any, TypeVar

from banno_creds.threads import no_fork

if TYPE_CHECKING:
    from collections.abc import Callable
    from ssl import SSLContext as _Context
    from ssl import SSLObject as _Object
    from ssl import SSLSocket as _Socket
else:
    _Socket = _Object = _Context = object

T = TypeVar("T")


class _StepwiseSocket(_Socket):
    """Does what is to be done between two waits, and waits itself: the system's socket never blocks."""

    _seconds: float | None = None

    @classmethod
    def _create(cls, *args: Any, do_handshake_on_connect: bool = True, **how: Any) -> Any:
        with no_fork():
            made = super()._create(*args, do_handshake_on_connect=False, **how)  # type: ignore[misc]  # ssl's own
        if do_handshake_on_connect:
            try:
                made.do_handshake()
            except BaseException:
                made.close()
                raise
        return made

    def settimeout(self, value: float | None) -> None:
        super().settimeout(0)
        self._seconds = value

    def gettimeout(self) -> float | None:
        return self._seconds

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - as its base has it
        del block
        step = super().do_handshake
        self._in_steps(step)

    def read(self, *args: Any) -> Any:
        step = super().read
        return self._in_steps(lambda: step(*args))

    def send(self, *args: Any) -> int:
        step = super().send
        return self._in_steps(lambda: step(*args))

    def _in_steps(self, step: Callable[[], T]) -> T:
        seconds = self._seconds
        ends = None if seconds is None else time.monotonic() + seconds
        while True:
            try:
                with no_fork():
                    return step()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as wanted:
                to_write = isinstance(wanted, ssl.SSLWantWriteError)
            if not _is_ready(self, to_write, ends):
                raise TimeoutError("The operation timed out")


def _is_ready(connection: _Socket, to_write: bool, ends: float | None) -> bool:  # noqa: FBT001
    """Wait until the system's socket is ready; False if it was not in time."""
    if sys.platform == "win32":
        return False  # see `in_steps`
    waiting = select.poll()  # which has no bound on the descriptor's number
    waiting.register(connection, select.POLLOUT if to_write else select.POLLIN)
    return bool(waiting.poll(None if ends is None else max(ends - time.monotonic(), 0) * 1000))


class _StepwiseObject(_Object):
    """TLS over memory, as in TLS to a proxy: it never waits."""

    @classmethod
    def _create(cls, *args: Any, **how: Any) -> Any:
        with no_fork():
            return super()._create(*args, **how)  # type: ignore[misc]  # ssl's own

    def do_handshake(self) -> None:
        with no_fork():
            super().do_handshake()

    def read(self, *args: Any) -> Any:
        with no_fork():
            return super().read(*args)

    def write(self, data: Any) -> int:
        with no_fork():
            return super().write(data)


class _StepwiseContext(_Context):
    """Reads files, which truststore has it do for each connection."""

    def set_default_verify_paths(self) -> None:
        with no_fork():
            super().set_default_verify_paths()

    def load_verify_locations(self, *args: Any, **how: Any) -> None:
        with no_fork():
            super().load_verify_locations(*args, **how)

    def load_cert_chain(self, *args: Any, **how: Any) -> None:
        with no_fork():
            super().load_cert_chain(*args, **how)


def in_steps(context: ssl.SSLContext) -> ssl.SSLContext:
    """Have a context make such connections, where processes fork; return it."""
    if hasattr(os, "register_at_fork"):
        own = getattr(context, "_ctx", context)  # the truststore's has one inside, with classes of its own
        own.__class__ = type("StepwiseContext", (_StepwiseContext, type(own)), {})
        own.sslsocket_class = type("StepwiseSocket", (_StepwiseSocket, own.sslsocket_class), {})
        own.sslobject_class = type("StepwiseObject", (_StepwiseObject, own.sslobject_class), {})
    return context
