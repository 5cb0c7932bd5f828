"""Another program that is given a token, in this one's place.

`recall` comes here before anything else is loaded: no import that the interpreter has not made by itself but one.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False  # typing itself is one of the imports that this module does without
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# What the program has no need of: who has a token needs no key.
_TAKEN_OUT = (
    *("BANNO_CREDS_PRIVATE_KEY_PEM", "BANNO_CREDS_PRIVATE_KEY", "BANNO_CREDS_PASSPHRASE_FILE"),
    *("BANNO_CREDS_CLIENT_SECRET", "BANNO_CREDS_CLIENT_SECRET_FILE"),
)


def without_secrets() -> dict[str, str]:
    """Our environment, without the variables that hold a secret or the path of one."""
    return {name: value for name, value in os.environ.items() if name not in _TAKEN_OUT}


def run(arguments: Sequence[str], variables: Mapping[str, str]) -> int:
    """Become another program, on POSIX; on Windows, run it and wait for its end.

    Args:
        arguments: the program's name or path, and its arguments.
        variables: what its environment has beside ours, from which key, passphrase and client secret are taken out.

    Returns:
        The program's exit code, on Windows; elsewhere there is nobody left to return to.

    Raises:
        OSError: it is not there, or cannot be run.
        ValueError: an argument cannot be one.
    """
    if not arguments[0]:
        raise FileNotFoundError  # as a shell has it; the system would say something else
    environment = without_secrets() | {**variables}
    if sys.platform == "win32":
        return _run_and_wait(arguments, environment)
    # Python ignores these two, and what is ignored stays so over an exec: a child would not end with its pipe.
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    return os.execvpe(arguments[0], tuple(arguments), environment)  # noqa: S606 - no shell in between: the point


def _run_and_wait(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    import subprocess

    # Ctrl-C reaches both; what it means is the child's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return subprocess.run(arguments, env=environment, check=False).returncode
