"""Windows' CPython and packages out of wheels. Runs with the Python 3.11 of this Linux.

    wheels.py cpython FOLDER NEW               python311.dll and .pyd files out of Panda3D's wheel, and the library
wheels.py wanted CHECKOUT                  print what pip is to download for the tests
wheels.py unpack FOLDER PACKAGES CHECKOUT  unpack what pip has downloaded
"""

from __future__ import annotations

import re
import shutil
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

# Not for running the tests, or nothing without a browser, or for what Linux alone has here.
_LEFT_OUT = re.compile(r"mypy|ruff|playwright|types-|ministack|openbao|python-pkcs11")
_NOT_OF_THE_LIBRARY = shutil.ignore_patterns(
    *("__pycache__", "site-packages", "dist-packages", "lib-dynload", "config-3.11*", "test", "tests"),
    *("idlelib", "turtledemo", "ensurepip", "_sysconfigdata*", "sitecustomize.py"),
)


def cpython(folder: Path, new: Path) -> None:
    """Lay out an installation of CPython: all of it but python.exe."""
    (new / "DLLs").mkdir()
    [wheel] = folder.glob("panda3d-*win_amd64.whl")
    with zipfile.ZipFile(wheel) as file:
        for name in file.namelist():
            place, _, base = name.rpartition("/")
            if place == "deploy_libs" and not base.startswith(("tcl", "tk", "_tkinter")):
                (new / ("DLLs" if base.endswith(".pyd") else "") / base).write_bytes(file.read(name))
    if not ((new / "python311.dll").exists() and (new / "DLLs" / "_ssl.pyd").exists()):
        sys.exit("the wheel has no python311.dll, or no _ssl.pyd")
    shutil.copytree(sysconfig.get_path("stdlib"), new / "Lib", symlinks=False, ignore=_NOT_OF_THE_LIBRARY)
    (new / "Lib" / "site-packages").mkdir()


def wanted(checkout: Path) -> list[str]:
    """Return what the tests need, with the pins of what Windows alone needs."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    named = project["dependencies"] + extras["sandbox"] + extras["keyring"] + extras["dev"]
    # pip, asked for another platform's wheels, judges markers by this one's.
    return [each for each in named if not _LEFT_OUT.match(each)] + _pins_for(checkout, "win32")


def _pins_for(checkout: Path, platform: str) -> list[str]:
    marker = re.compile(rf"sys_platform == ['\"]{platform}['\"]")
    lines = (checkout / "constraints.txt").read_text("utf-8").splitlines()
    return [line.split(";")[0].strip() for line in lines if marker.search(line)]


def unpack(folder: Path, packages: Path, checkout: Path) -> None:
    """Unpack the wheels, without those for Linux alone."""
    linux = {re.split(r"[=<>]", pin)[0].replace("-", "_").lower() for pin in _pins_for(checkout, "linux")}
    for wheel in sorted(folder.glob("*.whl")):
        if wheel.name.split("-")[0].lower() not in linux:
            with zipfile.ZipFile(wheel) as file:
                file.extractall(packages)
    for data in packages.glob("*.data"):
        for part in ("purelib", "platlib"):
            if (data / part).is_dir():
                shutil.copytree(data / part, packages, dirs_exist_ok=True)
        shutil.rmtree(data)


if __name__ == "__main__":
    task, *paths = sys.argv[1:]
    if task == "cpython":
        cpython(*map(Path, paths))
    elif task == "unpack":
        unpack(*map(Path, paths))
    else:
        print("\n".join(wanted(*map(Path, paths))))
