"""A token from the cache of this machine beside one from a Redis: ``make bench``. A real Redis, whole processes.

The local answer is the parsed one (`-o json`): a recalled one parses nothing, and depends on this machine's files.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.servers.issuer import Issuer
from tests.servers.redis import Redis
from tests.servers.tls import make_authority

PROGRAM = str(Path(sys.executable).with_name("banno-creds"))
CLIENT_ID = "199e6f35-4e9a-482e-b980-b10308aa428a"


def _run(words: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Run a command; return the milliseconds that passed, and those of the processor."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(words, env=environment, check=True, stdout=subprocess.DEVNULL)
    passed, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return passed * 1000, used * 1000


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="how often each is run")
    rounds = parser.parse_args().rounds
    if not shutil.which("redis-server"):
        sys.exit("redis-server is not installed (Debian: redis-server)")
    with tempfile.TemporaryDirectory() as name, Issuer() as issuer:
        folder = Path(name)
        subprocess.run([PROGRAM, "keygen", "-q"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        authority = make_authority(folder / "authority")
        token = [PROGRAM, "token", "-o", "json", "--client-id", CLIENT_ID, "--token-endpoint", issuer.url]
        token += ["--private-key", str(folder / "private.pem")]
        environment = os.environ | {"BANNO_CREDS_CACHE_DIR": str(folder / "cache")}
        (folder / "redis").mkdir(mode=0o700)
        with Redis(folder / "redis", authority) as redis:
            ways = {
                "this machine's cache": [],
                "Redis, Unix socket": ["--cache-url", redis.unix_url],
                "Redis, TCP": ["--cache-url", redis.url],
                "Redis, TLS": ["--cache-url", f"{redis.tls_url}?ssl_ca_certs={authority.file}"],
            }
            seen: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
            for number in range(rounds + 1):
                for way, options in ways.items():
                    took = _run([*token, *options], environment)
                    if number:  # the first one asks the server
                        seen[way].append(took)
        assert len(issuer.forms) == 2, "each cache asks the server once"
    print(f"\ntoken -o json from a cache, {rounds} rounds\n")
    print(f"{'':<22}{'median':>9}{'processor':>13}{'/ this machine':>16}")
    local = statistics.median(used for _, used in seen["this machine's cache"])
    for way, all_of_it in seen.items():
        passed, used = (statistics.median(each[part] for each in all_of_it) for part in (0, 1))
        print(f"{way:<22}{passed:>6.0f} ms{used:>10.0f} ms{used / local:>16.2f}")


if __name__ == "__main__":
    main()
