"""Whole-process time and memory of the commands, beside the peers that are installed: ``make bench``.

All take turns, round by round, so that a machine that gets slower or faster meanwhile treats them alike. Quote the
medians and the ratios; single times say little.
"""

from __future__ import annotations

import argparse
import compileall
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
SCRIPT = "straightforward script"
BY_HAND = "openssl + curl script"
VENDORS_HELPER = "banno-client-creds-helper"
PROFILES = (10, 10_000)


@dataclass
class Contestant:
    """A command, how many of it run at once, and what that took."""

    name: str
    command: list[str]
    crowd: int = 1
    forgets: bool = False  # whether it starts without a cache each time
    seconds: list[float] = field(default_factory=list)
    kibibytes: list[int] = field(default_factory=list)

    def run(self, folder: str) -> None:
        """Run it once and note what the operating system counted."""
        cache = Path(folder) / "cache" / str(self.forgets)
        if self.forgets:
            shutil.rmtree(cache, ignore_errors=True)
        env = os.environ | {"BANNO_CREDS_CACHE_DIR": str(cache)}
        null = os.open(os.devnull, os.O_RDWR)
        home = os.open(".", os.O_RDONLY)
        os.chdir(folder)
        redirected = [(os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1)]
        started = time.perf_counter()
        pids = [
            os.posix_spawnp(self.command[0], self.command, env, file_actions=redirected) for _ in range(self.crowd)
        ]
        ended = [os.wait4(pid, 0) for pid in pids]
        seconds = time.perf_counter() - started
        os.fchdir(home)
        os.close(home)
        os.close(null)
        for _, status, usage in ended:
            if status:
                sys.exit(f"{self.name} failed with exit code {os.waitstatus_to_exitcode(status)}: {self.command}")
            self.kibibytes.append(usage.ru_maxrss)
        self.seconds.append(seconds)


def contestants(token_endpoint: str, crowd: int) -> list[Contestant]:
    """The commands to be measured; peers that are not installed are named and left out."""
    ask = ["--client-id", CLIENT_ID, "--private-key", "private.pem", "--token-endpoint", token_endpoint]
    script = [sys.executable, str(HERE / "straightforward.py"), *ask]
    token = [PROGRAM, "token", *ask]
    found = [
        Contestant("bare interpreter", [sys.executable, "-c", "pass"]),
        Contestant("import click", [sys.executable, "-c", "import click"]),
        Contestant(SCRIPT, script),
        Contestant("banno-creds token (hit)", token),
        Contestant("banno-creds exec -- true (hit)", [PROGRAM, "exec", *ask, "--", "true"]),
        Contestant("banno-creds token (miss)", token, forgets=True),
        Contestant("banno-creds client-assertion -q", [PROGRAM, "client-assertion", "-q", *ask]),
        Contestant("banno-creds sign-jwt -q", [PROGRAM, "sign-jwt", "-q", *ask]),
        Contestant("banno-creds decode -q", [PROGRAM, "decode", "-q", "--file", "assertion.jwt"]),
        Contestant("banno-creds --help", [PROGRAM, "--help"]),
    ]
    for number in PROFILES:
        profile = ["--config", f"{number}.toml", "--profile", f"bank-{number - 1}"]
        server = ["--token-endpoint", token_endpoint]
        found += [
            Contestant(f"token (hit), 1 of {number:,} profiles", [PROGRAM, "token", *profile, *server]),
            Contestant(f"sign-jwt -q, 1 of {number:,} profiles", [PROGRAM, "sign-jwt", "-q", *profile]),
        ]
    crowds = [
        Contestant(f"{SCRIPT} × {crowd}", script, crowd),
        Contestant(f"banno-creds token (hit) × {crowd}", token, crowd),
        Contestant(f"banno-creds token (miss) × {crowd}", token, crowd, forgets=True),
    ]
    if shutil.which("openssl") and shutil.which("curl"):
        by_hand = [str(HERE / "openssl-curl.sh"), CLIENT_ID, "private.pem", token_endpoint]
        found.append(Contestant(BY_HAND, by_hand))
        crowds.append(Contestant(f"{BY_HAND} × {crowd}", by_hand, crowd))
    else:
        print("openssl or curl is not installed: left out", file=sys.stderr)
    if shutil.which(VENDORS_HELPER):
        print(f"{VENDORS_HELPER} knows one URL only and cannot be pointed at this server: left out", file=sys.stderr)
    return [*found, *crowds]


def write_profiles(folder: str) -> None:
    """Write configuration files with few and with many profiles."""
    settings = f'client_id = "{CLIENT_ID}"\nprivate_key = "private.pem"\nscope = ["openid"]\ntags = ["nightly"]\n'
    for number in PROFILES:
        file = Path(folder) / f"{number}.toml"
        file.write_text("\n".join(f"[profiles.bank-{each}]\n{settings}" for each in range(number)))
        file.chmod(0o600)


def table(measured: list[Contestant]) -> str:
    """Medians, spreads, and ratios to the bare interpreter and, crowd by crowd, to the two peers."""
    median = {one.name: statistics.median(one.seconds) * 1000 for one in measured}
    lines = [f"{'':<37}{'median':>9}{'min-max':>14}{'memory':>10}{'/bare':>7}{'/script':>9}{'/curl':>7}"]
    for one in measured:
        crowd = f" × {one.crowd}" if one.crowd > 1 else ""
        spread = f"{min(one.seconds) * 1000:.0f}-{max(one.seconds) * 1000:.0f}"
        memory = statistics.median(one.kibibytes) / 1024
        ratios = [
            f"{median[one.name] / median[other]:.2f}" if other in median else ""
            for other in ("bare interpreter" if one.crowd == 1 else "", SCRIPT + crowd, BY_HAND + crowd)
        ]
        lines.append(
            f"{one.name:<37}{median[one.name]:>6.0f} ms{spread:>14}{memory:>6.0f} MiB"
            f"{ratios[0]:>7}{ratios[1]:>9}{ratios[2]:>7}"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="how often each command is run")
    parser.add_argument("--crowd", type=int, default=50, help="how many start at once, where many do")
    arguments = parser.parse_args()
    compileall.compile_dir(HERE.parent / "src", quiet=1)  # as pip does when it installs
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([PROGRAM, "keygen", "-q"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        sign = [PROGRAM, "sign-jwt", "-q", "--client-id", CLIENT_ID, "--private-key", "private.pem"]
        assertion = subprocess.run(sign, cwd=folder, check=True, capture_output=True).stdout
        (Path(folder) / "assertion.jwt").write_bytes(assertion)
        write_profiles(folder)
        with subprocess.Popen([sys.executable, str(HERE / "server.py")], stdout=subprocess.PIPE) as server:
            try:
                port = int(server.stdout.readline()) if server.stdout else 0
                measured = contestants(f"http://127.0.0.1:{port}/token", arguments.crowd)
                for number in range(arguments.rounds + 1):
                    for one in measured:
                        # A crowd takes as long as all the rest: a third of its rounds will do.
                        if one.crowd == 1 or number % 3 == 0:
                            one.run(folder)
                    if number == 0:  # the first round warms the file cache, and ours
                        for one in measured:
                            one.seconds.clear()
                            one.kibibytes.clear()
            finally:
                server.terminate()
    print(
        f"Python {sys.version.split()[0]}, {arguments.rounds} rounds, whole processes, loopback\n\n{table(measured)}"
    )


if __name__ == "__main__":
    main()
