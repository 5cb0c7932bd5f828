"""The stage of the cache that machines share: its secret, the way to its server, and whether it does what is needed.

What is wrong with the server stops no token, and is a warning; a setting that stops the commands is a fault.
"""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, Any

from banno_creds.checks import is_loopback
from banno_creds.client_authentication.private_key import read_key
from banno_creds.doctor.case import CACHE
from banno_creds.doctor.findings import joined, passed, unknown
from banno_creds.errors import ConfigurationError
from banno_creds.rules.findings import Finding, Rule, Verdict
from banno_creds.shared_cache.faults import ServerError, StoreError
from banno_creds.text import printable, setting
from banno_creds.times import duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from banno_creds.doctor.case import Case
    from banno_creds.shared_cache.store import Store

_CLOCKS_DIFFER = 60  # seconds; a token counts as old as either clock says, see `tokens.shared`
_NEARLY_FULL = 0.9
_MILLISECONDS = 10_000  # after which the server forgets the trial
_SCRIPT = """
redis.call('get', KEYS[1])
redis.call('set', KEYS[1], '1', 'px', ARGV[1])
redis.call('pexpire', KEYS[1], ARGV[1])
return redis.call('del', KEYS[1])
"""
_MIB = 1024 * 1024
_NUMBER = re.compile("[0-9]{1,18}", re.ASCII)


def look_at_cache(case: Case) -> None:
    """Look at the cache that machines share, if there is one."""
    if case.config.cache_url is None:
        return
    try:
        case.find(CACHE, _look_at_secret(case))
        from banno_creds.shared_cache.store import Store  # which needs an extra

        store = Store(case.config.cache_url, case.config.cache_password_file, case.config.ca_bundle)
        if case.setup.offline:
            reason = f"the network was not used ({setting('offline')})"
            case.find(CACHE, unknown(Rule.CACHE_UNREACHABLE, "connection", reason))
            return
        for finding in _examine(store, case):
            case.find(CACHE, finding)
    except ConfigurationError as failure:
        case.find_error(CACHE, failure, Rule.CONFIGURATION_INVALID, "settings")


def _look_at_secret(case: Case) -> Finding:
    """Name what seals the cache; ConfigurationError if nothing can."""
    from banno_creds.shared_cache import sealing

    file = case.config.cache_secret_file
    if file is None:
        source = case.config.private_key
        sealing.seal_of_key(read_key(source).content, is_held=source.uri is not None)
        return passed(Rule.CACHE_SECRET, "secret", "made of the private key: only its holders share tokens")
    _, warnings = sealing.read_secret(file)
    facts = f"from the file {printable(file)}"
    if warnings:
        message, hint = warnings[0]
        return Finding(Rule.CACHE_SECRET, Verdict.WARN, "secret", message, fix=hint)
    return passed(Rule.CACHE_SECRET, "secret", facts)


def _examine(store: Store, case: Case) -> Iterator[Finding]:
    began = time.monotonic()
    try:
        [instant] = store.get(("TIME",))
        now, took = case.run.clock(), time.monotonic() - began
        yield passed(Rule.CACHE_UNREACHABLE, "connection", store.shown, f"{took * 1000:.0f} ms")
        yield from _judge_way(store, case)
        yield _judge_clock(instant, now)
        trial = _try_commands(store)
        yield _judge_trial(trial)
        [told] = store.ask(("INFO",))
    except StoreError as failure:
        yield _of_fault(failure, "connection", store.shown)
        return
    if isinstance(told, bytes):
        yield from _judge_memory(_read_info(told))
    else:
        yield unknown(Rule.CACHE_FULL, "memory", "the server does not tell: this user may not ask (INFO)")


def _of_fault(failure: StoreError, looks_at: str, *facts: str) -> Finding:
    return Finding(Rule(failure.rule), Verdict.WARN, looks_at, joined(*facts, failure.words))


def _judge_way(store: Store, case: Case) -> Iterator[Finding]:
    address = store.address
    if address.scheme == "rediss":
        yield passed(Rule.CACHE_TLS, "TLS", "the certificate is trusted")
    elif address.scheme == "redis" and not is_loopback(address.host):
        yield Finding(Rule.CACHE_PLAINTEXT, Verdict.WARN, "TLS", "none: the password crosses the network as it is")
    if address.password or case.config.cache_password_file:
        yield passed(Rule.CACHE_PASSWORD, "password", f"taken, of {printable(address.user or 'the default user')}")
    else:
        yield passed(Rule.CACHE_PASSWORD, "password", "none is given, and none is wanted")


def _judge_clock(instant: Any, now: float) -> Finding:
    from banno_creds.shared_cache.store import read_time

    try:
        ahead = round(now - read_time(instant))
    except StoreError:
        return unknown(Rule.CACHE_CLOCK, "clock", "the server does not tell the time")
    if abs(ahead) < _CLOCKS_DIFFER:
        return passed(Rule.CACHE_CLOCK, "clock", f"{abs(ahead)} s from this machine's")
    words = f"{duration(abs(ahead))} {'behind' if ahead > 0 else 'ahead of'} this machine's"
    return Finding(Rule.CACHE_CLOCK, Verdict.WARN, "clock", words, f"less than {_CLOCKS_DIFFER} s")


# --- What it does ---


def _try_commands(store: Store) -> Mapping[str, Any]:
    """Do what `token` and `cache` do, with a name of this trial alone; return the answers by the commands."""
    from banno_creds.shared_cache.sealing import PREFIX

    name = f"{PREFIX}{{trial-{os.urandom(8).hex()}}}"
    commands: dict[str, Sequence[str | int]] = {
        "SET": ("SET", name, "1", "NX", "PX", _MILLISECONDS),
        "GET": ("GET", name),
        "PEXPIRE": ("PEXPIRE", name, _MILLISECONDS),
        "EVAL": ("EVAL", _SCRIPT, 1, name, _MILLISECONDS),
        "DEL": ("DEL", name),
        "SCAN": ("SCAN", 0, "MATCH", name, "COUNT", 1),
    }
    return dict(zip(commands, store.ask(*commands.values()), strict=True))


def _judge_trial(trial: Mapping[str, Any]) -> Finding:
    errors = {command: answer for command, answer in trial.items() if isinstance(answer, ServerError)}
    denied = [command for command, error in errors.items() if error.rule == Rule.CACHE_PERMISSION]
    if denied:
        words = f"the user may not use {', '.join(denied)}: {errors[denied[0]].words}"
        return Finding(Rule.CACHE_PERMISSION, Verdict.WARN, "permissions", words)
    if errors:
        return _of_fault(next(iter(errors.values())), "writing")
    if trial["GET"] != b"1":
        return Finding(Rule.CACHE_ANSWER, Verdict.WARN, "writing", "what was written a moment ago is not there")
    return passed(Rule.CACHE_PERMISSION, "permissions", "all that is needed")


def _read_info(told: bytes) -> Mapping[str, str]:
    """Read the answer to INFO: a name and a value a line."""
    lines = (line.partition(":") for line in told.decode("utf-8", "replace").splitlines())
    return {name: value.strip() for name, _, value in lines}


def _judge_memory(told: Mapping[str, str]) -> Iterator[Finding]:
    if told.get("role") == "slave":
        yield Finding(Rule.CACHE_REPLICA, Verdict.WARN, "role", "it is a replica")
    if told.get("cluster_enabled") == "1":
        yield Finding(Rule.CACHE_CLUSTER, Verdict.WARN, "role", "it is one part of a cluster")
    numbers = [told.get(name, "0") for name in ("used_memory", "maxmemory", "evicted_keys")]
    if not all(map(_NUMBER.fullmatch, numbers)):
        yield unknown(Rule.CACHE_FULL, "memory", "the server does not tell")
        return
    used, most, evicted = map(int, numbers)
    policy = printable(told.get("maxmemory_policy", ""), 30)
    of = f"of {most / _MIB:.0f} MiB" if most else "no limit"
    gone = f"{evicted} entries removed so far" if evicted and most else ""
    facts = joined(f"{used / _MIB:.0f} MiB used", of, policy if most else "", gone)
    if not most or used < most * _NEARLY_FULL:
        yield passed(Rule.CACHE_FULL, "memory", facts)
    else:
        rule = Rule.CACHE_FULL if policy == "noeviction" else Rule.CACHE_EVICTION
        yield Finding(rule, Verdict.WARN, "memory", facts)
