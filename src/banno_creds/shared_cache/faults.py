"""What may be wrong with the server of a shared cache: never fatal, and each with a rule that explains it."""

from __future__ import annotations

from banno_creds.secrecy import Secret, without
from banno_creds.text import printable

_MOST_READ = 8192  # characters of an error; only the first hundred that can be seen are shown


class StoreError(OSError):
    """The server cannot be used now, in words that may be shown; ``rule`` is the id of what is wrong with it."""

    def __init__(self, words: str, rule: str = "cache.unreachable") -> None:
        super().__init__(words)
        self.words = words
        self.rule = rule


class SlowError(StoreError):
    """The server did not answer in time."""


class ClosedError(StoreError):
    """The server closed the connection, in the place of an answer."""


class ServerError(StoreError):
    """The server's own answer that it does not do what it was asked for; ``code`` is its first word.

    A server that does not know AUTH repeats its arguments: ``password`` is never shown.
    """

    def __init__(self, said: str, password: str = "") -> None:
        self.code = said.partition(" ")[0]
        begin = said[:_MOST_READ]
        shown = without(begin, (Secret(password, "the password"),)) if password else begin
        if shown != begin and self.code in _RULES:
            shown = f"{self.code} {shown}"
        super().__init__(printable(shown, 100).rstrip("."), _RULES.get(self.code, "cache.refused"))


def no_answer() -> StoreError:
    """Return the fault of a server that answers as none of its kind does."""
    return StoreError("what answers there is no Redis or Valkey server", "cache.answer")


# By the first word of the server's answer.
_RULES = {
    **dict.fromkeys(("NOAUTH", "WRONGPASS", "DENIED"), "cache.password"),
    **dict.fromkeys(("NOPERM",), "cache.permission"),
    **dict.fromkeys(("OOM",), "cache.full"),
    **dict.fromkeys(("READONLY", "MASTERDOWN", "NOREPLICAS"), "cache.replica"),
    **dict.fromkeys(("MOVED", "ASK", "CLUSTERDOWN", "CROSSSLOT"), "cache.cluster"),
}
