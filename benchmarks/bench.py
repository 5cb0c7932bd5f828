"""Whole-process time and memory of the commands, beside the peers that are installed: ``make bench``.

All take turns, round by round, so that a machine that gets slower or faster meanwhile treats them alike. Quote the
medians and the ratios; single times say little.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
PROGRAM = str(Path(sys.executable).with_name("banno-creds"))
CLIENT_ID = "199e6f35-4e9a-482e-b980-b10308aa428a"
VENDORS_HELPER = "banno-client-creds-helper"


@dataclass
class Contestant:
    """A command, and what its runs took."""

    name: str
    command: list[str]
    seconds: list[float] = field(default_factory=list)
    kibibytes: list[int] = field(default_factory=list)

    def run(self, folder: str) -> None:
        """Run it once and note what the operating system counted."""
        null = os.open(os.devnull, os.O_RDWR)
        home = os.open(".", os.O_RDONLY)
        os.chdir(folder)
        started = time.perf_counter()
        pid = os.posix_spawnp(
            self.command[0], self.command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1)]
        )
        _, status, usage = os.wait4(pid, 0)
        seconds = time.perf_counter() - started
        os.fchdir(home)
        os.close(home)
        os.close(null)
        if status:
            sys.exit(f"{self.name} failed with exit code {os.waitstatus_to_exitcode(status)}: {self.command}")
        self.seconds.append(seconds)
        self.kibibytes.append(usage.ru_maxrss)


def contestants(token_endpoint: str) -> list[Contestant]:
    """The commands to be measured; peers that are not installed are named and left out."""
    ask = ["--client-id", CLIENT_ID, "--private-key", "private.pem", "--token-endpoint", token_endpoint]
    found = [
        Contestant("bare interpreter", [sys.executable, "-c", "pass"]),
        Contestant("import click", [sys.executable, "-c", "import click"]),
        Contestant("straightforward script", [sys.executable, str(HERE / "straightforward.py"), *ask]),
        Contestant("banno-creds client-assertion -q", [PROGRAM, "client-assertion", "-q", *ask]),
        Contestant("banno-creds sign-jwt -q", [PROGRAM, "sign-jwt", "-q", *ask]),
        Contestant("banno-creds decode -q", [PROGRAM, "decode", "-q", "--file", "assertion.jwt"]),
        Contestant("banno-creds --help", [PROGRAM, "--help"]),
    ]
    if shutil.which("openssl") and shutil.which("curl"):
        by_hand = [str(HERE / "openssl-curl.sh"), CLIENT_ID, "private.pem", token_endpoint]
        found.append(Contestant("openssl + curl script", by_hand))
    else:
        print("openssl or curl is not installed: left out", file=sys.stderr)
    if shutil.which(VENDORS_HELPER):
        print(f"{VENDORS_HELPER} knows one URL only and cannot be pointed at this server: left out", file=sys.stderr)
    return found


def table(measured: list[Contestant]) -> str:
    """Medians, spreads, and ratios to the straightforward script and to the bare interpreter."""
    median = {one.name: statistics.median(one.seconds) * 1000 for one in measured}
    lines = [f"{'':<33}{'median':>9}{'min-max':>14}{'memory':>10}{'/script':>9}{'/bare':>7}"]
    for one in measured:
        spread = f"{min(one.seconds) * 1000:.0f}-{max(one.seconds) * 1000:.0f}"
        memory = statistics.median(one.kibibytes) / 1024
        lines.append(
            f"{one.name:<33}{median[one.name]:>6.0f} ms{spread:>14}{memory:>6.0f} MiB"
            f"{median[one.name] / median['straightforward script']:>9.2f}"
            f"{median[one.name] / median['bare interpreter']:>7.1f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="how often each command is run")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([PROGRAM, "keygen", "-q"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        sign = [PROGRAM, "sign-jwt", "-q", "--client-id", CLIENT_ID, "--private-key", "private.pem"]
        assertion = subprocess.run(sign, cwd=folder, check=True, capture_output=True).stdout
        (Path(folder) / "assertion.jwt").write_bytes(assertion)
        with subprocess.Popen([sys.executable, str(HERE / "server.py")], stdout=subprocess.PIPE) as server:
            try:
                port = int(server.stdout.readline()) if server.stdout else 0
                measured = contestants(f"http://127.0.0.1:{port}/token")
                for number in range(rounds + 1):
                    for one in measured:
                        one.run(folder)
                    if number == 0:  # the first round warms the file cache
                        for one in measured:
                            one.seconds.clear()
                            one.kibibytes.clear()
            finally:
                server.terminate()
    print(f"Python {sys.version.split()[0]}, {rounds} rounds, whole processes, loopback\n\n{table(measured)}")


if __name__ == "__main__":
    main()
