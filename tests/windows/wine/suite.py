"""Run the test suite on Windows' Python under Wine: some files at a time, and one summary of all of them.

    suite.py DIR [FILE...]     the whole suite, or these files; DIR is what set-up.sh made

pytest-xdist does not run there. The output of each file that failed is shown, and DIR/results has all of them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

ROOT = Path(__file__).parents[3]
_COUNTS = re.compile(r"(\d+) (passed|failed|skipped|errors?|xfailed|xpassed|deselected)")
_NO_TESTS = 5  # pytest's exit code for a file whose tests are all left out
_SECONDS_PER_FILE = 3600


def run(python: Path, file: Path, results: Path) -> tuple[Path, int, Counter[str], float]:
    """Run one file, and return how it ended, what its last line counts, and how long it took."""
    began = time.monotonic()
    # A folder for each: pytest removes old ones in the usual place, and two runs at once get in each other's way.
    folder = f"C:/{file.as_posix().replace('/', '.')}"
    options = ["-q", "-p", "no:cacheprovider", "--timeout", "600", "--basetemp", folder]
    done = subprocess.run(
        [python, "-m", "pytest", *options, file.as_posix()],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_SECONDS_PER_FILE,
        check=False,
    )
    output = done.stdout.decode(errors="replace").replace("\r\n", "\n")
    (results / f"{file.as_posix().replace('/', '.')}.txt").write_text(output)
    last = next((line for line in reversed(output.splitlines()) if line), "")
    counts = Counter({what.rstrip("s"): int(number) for number, what in _COUNTS.findall(last)})
    code = 0 if done.returncode == _NO_TESTS else done.returncode
    return file, code, counts, time.monotonic() - began


def main(folder: str, *named: str) -> int:
    """Run the files, and return 1 if one of them failed."""
    python, results = Path(folder) / "python", Path(folder) / "results"
    results.mkdir(exist_ok=True)
    found = map(Path, named) if named else (each.relative_to(ROOT) for each in (ROOT / "tests").rglob("test_*.py"))
    files = [each for each in found if "node_modules" not in each.parts]
    files.sort(key=lambda file: -(ROOT / file).stat().st_size)  # the long ones first
    total: Counter[str] = Counter()
    failed: list[Path] = []
    with ThreadPoolExecutor((os.cpu_count() or 1) + 1) as pool:
        for done in as_completed([pool.submit(run, python.absolute(), file, results) for file in files]):
            file, code, counts, seconds = done.result()
            total += counts
            said = ", ".join(f"{number} {what}" for what, number in counts.items()) or "nothing to run"
            print(f"{'FAILED' if code else 'ok':6} {file.as_posix()}: {said} in {seconds:.0f} s", flush=True)
            if code:
                failed.append(file)
                print((results / f"{file.as_posix().replace('/', '.')}.txt").read_text(), flush=True)
    print(f"under Wine: {', '.join(f'{number} {what}' for what, number in total.items())} in {len(files)} files")
    for file in failed:
        print(f"FAILED {file.as_posix()}")
    return 1 if failed or not total["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
