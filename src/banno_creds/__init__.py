"""banno-creds: from a key pair to a Jack Henry / Banno access token, with every step in sight.

The names below are the Python API; docs/python.md shows it at work. Each is imported when it is first used (PEP 562):
the command line imports this module too, and an answer from the cache must wait for nothing it has no use for.
"""

__version__ = "0.1.0"

__all__ = [
    "BannoCredsError",
    "BearerAuth",
    "ClientConfig",
    "ConfigurationError",
    "KeyLoadError",
    "KeySource",
    "NetworkError",
    "NotAskedError",
    "PassphraseError",
    "RefusedError",
    "SigningError",
    "Step",
    "TimedOutError",
    "TokenPool",
    "TokenResponse",
    "TokenSource",
    "UnavailableError",
    "UntrustedServerError",
    "UnusableAnswerError",
    "Warned",
    "__version__",
]

TYPE_CHECKING = False  # typing's own would cost its import; type checkers know a variable of this name
if TYPE_CHECKING:
    from banno_creds.config import ClientConfig, KeySource
    from banno_creds.errors import (
        BannoCredsError,
        ConfigurationError,
        KeyLoadError,
        NetworkError,
        NotAskedError,
        PassphraseError,
        RefusedError,
        SigningError,
        TimedOutError,
        UnavailableError,
        UntrustedServerError,
        UnusableAnswerError,
    )
    from banno_creds.many.token_pool import TokenPool
    from banno_creds.steps import Step, Warned
    from banno_creds.tokens.bearer_auth import BearerAuth
    from banno_creds.tokens.response import TokenResponse
    from banno_creds.tokens.token_source import TokenSource
else:
    _HOMES = {
        "BearerAuth": "tokens.bearer_auth",
        "ClientConfig": "config",
        "KeySource": "config",
        "Step": "steps",
        "TokenPool": "many.token_pool",
        "TokenResponse": "tokens.response",
        "TokenSource": "tokens.token_source",
        "Warned": "steps",
    }

    # Unseen by type checkers, which would take any name for one of ours.
    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
        globals()[name] = value  # so that it is asked for once
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
