"""What one run for many profiles takes, beside a process for each profile: ``make bench``.

Each profile has a key file of its own. The peers get a profile a process, two at a time (`xargs -P2`), and fewer
profiles, because they take so long. Processor times count users' and the system's seconds of our processes alone;
what the server takes is not in them, but on a machine with few cores it is in the time that passes.
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
import uuid
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
PROGRAM = str(Path(sys.executable).with_name("banno-creds"))
CSV = "many.csv"


@dataclass
class Row:
    """A command for so many profiles, and what its runs took."""

    name: str
    command: list[str]
    count: int
    is_new: bool = False  # whether it starts without a cache
    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    mebibytes: list[float] = field(default_factory=list)

    def run(self, environment: dict[str, str]) -> None:
        """Run it once, and note what the operating system counted."""
        if self.is_new:
            shutil.rmtree(environment["BANNO_CREDS_CACHE_DIR"], ignore_errors=True)
        null = os.open(os.devnull, os.O_RDWR)
        redirected = [(os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1, 2)]
        began = time.perf_counter()
        pid = os.posix_spawnp(self.command[0], self.command, environment, file_actions=redirected)
        _, status, usage = os.wait4(pid, 0)
        self.seconds.append(time.perf_counter() - began)
        self.processor.append(usage.ru_utime + usage.ru_stime)
        self.mebibytes.append(usage.ru_maxrss / 1024)
        os.close(null)
        if status:
            sys.exit(f"{self.name} failed with exit code {os.waitstatus_to_exitcode(status)}: {self.command}")

    def __str__(self) -> str:
        seconds, processor, mebibytes = map(statistics.median, (self.seconds, self.processor, self.mebibytes))
        each = 1000 / self.count
        return (
            f"{self.name:<40}{self.count:>9,}{seconds:>8.2f} s{seconds * each:>8.2f} ms"
            f"{processor * each:>9.2f} ms{mebibytes:>8.0f} MiB"
        )


def client_id(number: int) -> str:
    """Return a client ID of the kind that banks give."""
    return str(uuid.UUID(int=0x199E6F35_4E9A_482E_B980_B10308AA428A + number))


def write_profiles(folder: Path, count: int, token_endpoint: str) -> None:
    """Write a table of clients with a key each, and import it."""
    subprocess.run([PROGRAM, "keygen", "-q"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    key = (folder / "private.pem").read_bytes()
    keys = folder / "keys"
    keys.mkdir(mode=0o700)
    lines = ["profile,client_id,private_key,token_endpoint,tags"]
    for number in range(count):
        file = keys / f"{number}.pem"
        file.touch(0o600)
        file.write_bytes(key)
        lines.append(f"bank-{number},{client_id(number)},{file},{token_endpoint},nightly")
    (folder / CSV).write_text("\n".join(lines) + "\n", "utf-8")


def one_each(script: list[str], ids: Path, options: list[str]) -> list[str]:
    """Return what runs a script for each client ID in a file, two at a time."""
    return ["xargs", "-a", str(ids), "-P2", "-I{}", *script, *options]


def rows(folder: Path, count: int, peers: int, token_endpoint: str) -> list[Row]:
    """Return the commands to be measured."""
    ids, names, key = folder / "ids", folder / "names", str(folder / "private.pem")
    ids.write_text("".join(f"{client_id(number)}\n" for number in range(peers)), "utf-8")
    names.write_text("".join(f"bank-{number}\n" for number in range(peers)), "utf-8")
    unpaced = ["--all", "--rate", "0", "--jobs", "8"]
    options = ["--client-id", "{}", "--private-key", key, "--token-endpoint", token_endpoint]
    found = [
        Row("check --all", [PROGRAM, "check", *unpaced], count, is_new=True),
        Row("check --all -o jsonl", [PROGRAM, "check", *unpaced, "-o", "jsonl"], count),
        Row("check --all --offline", [PROGRAM, "check", *unpaced, "--offline"], count),
        Row("token --all (misses)", [PROGRAM, "token", *unpaced], count, is_new=True),
        Row("token --all (hits)", [PROGRAM, "token", *unpaced], count),
        Row("profile list -l", [PROGRAM, "profile", "list", "-l"], count),
        Row("profile list --tag", [PROGRAM, "profile", "list", "--tag", "nightly"], count),
        Row("profile export", [PROGRAM, "profile", "export"], count),
        Row("profile import, nothing new", [PROGRAM, "profile", "import", str(folder / CSV)], count),
        Row("token, one of them (hit)", [PROGRAM, "token", "--profile", f"bank-{count - 1}"], 1),
        Row("check, one of them", [PROGRAM, "check", f"bank-{count - 1}"], 1),
    ]
    if not peers:
        return found
    found += [
        Row("straightforward script, xargs -P2", [], peers),
        Row("banno-creds token, xargs -P2", [], peers, is_new=True),
    ]
    found[-2].command = one_each([sys.executable, str(HERE / "straightforward.py")], ids, options)
    found[-1].command = one_each([PROGRAM, "token", "--profile", "{}"], names, [])
    if shutil.which("openssl") and shutil.which("curl"):
        by_hand = one_each([str(HERE / "openssl-curl.sh"), "{}", key, token_endpoint], ids, [])
        found.append(Row("openssl + curl script, xargs -P2", by_hand, peers))
    return found


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each command is run")
    parser.add_argument("--profiles", type=int, default=1000, help="how many there are")
    parser.add_argument("--peers", type=int, default=100, help="for how many of them the peers are run; 0 for none")
    arguments = parser.parse_args()
    compileall.compile_dir(HERE.parent / "src", quiet=1)  # as pip does when it installs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {**os.environ, "BANNO_CREDS_CONFIG": str(folder / "config.toml")}
        environment["BANNO_CREDS_CACHE_DIR"] = str(folder / "cache")
        with subprocess.Popen([sys.executable, str(HERE / "server.py")], stdout=subprocess.PIPE) as server:
            try:
                port = int(server.stdout.readline()) if server.stdout else 0
                token_endpoint = f"http://127.0.0.1:{port}/token"
                write_profiles(folder, arguments.profiles, token_endpoint)
                new = Row("profile import, all new", [PROGRAM, "profile", "import", str(folder / CSV)], 1)
                new.count = arguments.profiles
                measured = [new, *rows(folder, arguments.profiles, arguments.peers, token_endpoint)]
                for _ in range(arguments.rounds):
                    (folder / "config.toml").unlink(missing_ok=True)
                    for row in measured:
                        row.run(environment)
            finally:
                server.terminate()
    print(f"\n{arguments.profiles:,} profiles, {arguments.rounds} rounds, loopback, {os.cpu_count()} cores\n")
    print(f"{'':<40}{'profiles':>9}{'all':>10}{'each':>11}{'processor':>12}{'memory':>12}")
    for row in measured:
        print(row)


if __name__ == "__main__":
    main()
