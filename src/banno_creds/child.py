"""Run another program that gets the token, in the place of this one.

A recalled answer comes here before anything else is loaded: of the imports, only `signal` is not made by the
interpreter itself.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False  # typing itself is one of the imports that this module does without
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The program has a token, and needs no key.
_TAKEN_OUT = (
    *("BANNO_CREDS_PRIVATE_KEY_PEM", "BANNO_CREDS_PRIVATE_KEY", "BANNO_CREDS_PASSPHRASE_FILE"),
    *("BANNO_CREDS_CLIENT_SECRET", "BANNO_CREDS_CLIENT_SECRET_FILE"),
)


def without_secrets() -> dict[str, str]:
    """Return our environment, without the variables that hold a secret or the path of one."""
    return {name: value for name, value in os.environ.items() if name not in _TAKEN_OUT}


def run(arguments: Sequence[str], variables: Mapping[str, str]) -> int:
    """Become another program, on POSIX; on Windows, run it and wait for its end.

    Args:
        arguments: the program's name or path, and its arguments.
        variables: variables to add to our environment, from which key, passphrase and client secret are removed.

    Returns:
        The program's exit code, on Windows; elsewhere it does not return.

    Raises:
        OSError: it does not exist, or cannot be run.
        ValueError: an argument has a character that no argument can have.
    """
    if not arguments[0]:
        raise FileNotFoundError  # as in a shell; the system would say something else
    environment = without_secrets() | {**variables}
    if sys.platform == "win32":
        return _run_and_wait(arguments, environment)
    # Python ignores these two, and ignored signals stay ignored after exec: a child would not end with its pipe.
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    return os.execvpe(arguments[0], tuple(arguments), environment)  # noqa: S606 - no shell in between: the point


def _run_and_wait(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    import subprocess

    # Ctrl-C reaches both, and the child decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return subprocess.run(arguments, env=environment, check=False).returncode
