"""Draw docs/demo.svg: a token in six steps, and a refusal explained, as a terminal shows them.

Run ``make picture`` after a change of what these commands print.
"""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from rich.console import Console
from rich.terminal_theme import MONOKAI as THEME
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.style import Style

COLUMNS, WIDTH, HEIGHT = 88, 8.4, 18  # of a line in characters, of a character in pixels
MARGIN, BAR = 16, 36
_GREY = "#9a9a9a"  # for ANSI's colour 8: the theme's own is too dark to read
CLIENT_ID = "199e6f35-4e9a-482e-b980-b10308aa428a"

# The sandbox has the key of the first command, and not that of the others.
SHOWN = (
    f"banno-creds client-assertion --client-id {CLIENT_ID} \\\n    --private-key private.pem > token.json",
    "banno-creds token --private-key new.pem 2>&1 | head -n 1",
    "banno-creds doctor --private-key new.pem --registered public.pem | grep -m 1 -A 3 ✗",
)


def main() -> None:
    """Write the picture beside this file."""
    console = Console(width=COLUMNS)
    text = Text.from_ansi(record().rstrip())
    lines = [row for line in text.split("\n", allow_blank=True) for row in line.wrap(console, COLUMNS)]
    Path(__file__).with_name("demo.svg").write_text("\n".join(drawn(lines)) + "\n", encoding="utf-8")


def record() -> str:
    """Run the commands against the sandbox, each in a pseudo-terminal, and return what a person would see."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        programs = folder / "bin"
        programs.mkdir()
        (programs / "banno-creds").symlink_to(Path(sys.executable).with_name("banno-creds"))
        environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": name,
            "TERM": "xterm-256color",
            "COLUMNS": str(COLUMNS),
            "BANNO_CREDS_CLIENT_ID": CLIENT_ID,
        }
        for key in ("private", "new"):
            run(f"banno-creds keygen -q --private-key {key}.pem --public-key {key}.pub", folder, environment)
        shutil.move(folder / "private.pub", folder / "public.pem")
        with subprocess.Popen(
            ["banno-creds", "sandbox", "--client-id", CLIENT_ID, "--public-key", "public.pem", "--port", "0"],
            executable=programs / "banno-creds",
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as sandbox:
            try:
                assert sandbox.stdout is not None  # noqa: S101 - for the type checker: it was asked for
                environment["BANNO_CREDS_TOKEN_ENDPOINT"] = sandbox.stdout.readline().split()[-1]
                return "\n".join(
                    f"\x1b[90m$\x1b[0m \x1b[1m{command}\x1b[0m\n{run(command, folder, environment)}"
                    for command in SHOWN
                )
            finally:
                sandbox.terminate()


def run(command: str, folder: Path, environment: Mapping[str, str]) -> str:
    """Run a command in a pseudo-terminal, and return what it prints."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        ["sh", "-c", command], cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ):
        os.close(theirs)
        kept = bytearray()
        try:
            while data := os.read(ours, 65536):
                kept += data
        except OSError:  # Linux: the other end was closed
            pass
        os.close(ours)
    return kept.decode().replace("\r\n", "\n")


def drawn(lines: list[Text]) -> Iterator[str]:
    """Yield the lines of the picture. Each run of words has its own place: no renderer has to keep blanks."""
    width, height = COLUMNS * WIDTH + 2 * MARGIN, BAR + len(lines) * HEIGHT + MARGIN
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height}" width="{width:g}" '
        f'height="{height}" font-family="ui-monospace, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" '
        'font-size="14" role="img">'
    )
    yield "<title>A token in six steps, and a refusal explained</title>"
    yield f'<rect width="{width:g}" height="{height}" rx="8" fill="{THEME.background_color.hex}"/>'
    for place, colour in enumerate(("#ff5f57", "#febc2e", "#28c840")):
        yield f'<circle cx="{MARGIN + 6 + 20 * place}" cy="20" r="6" fill="{colour}"/>'
    console = Console(width=COLUMNS, force_terminal=True, color_system="truecolor")
    for number, line in enumerate(lines):
        column = 0
        for segment in line.render(console):
            for start, words in runs(segment.text):
                x, y = MARGIN + (column + start) * WIDTH, BAR + (number + 0.75) * HEIGHT
                yield (
                    f'<text x="{x:g}" y="{y:g}" textLength="{len(words) * WIDTH:g}" '
                    f'lengthAdjust="spacingAndGlyphs" {looks(segment.style)}>{escape(words)}</text>'
                )
            column += len(segment.text)
    yield "</svg>"


def runs(text: str) -> Iterator[tuple[int, str]]:
    """Yield the parts of a text between two or more blanks, with their places."""
    start = 0
    for part in text.split("  "):
        words = part.strip()
        if words:
            yield start + part.index(words), words
        start += len(part) + 2


def looks(style: Style | None) -> str:
    """Return a style as attributes of SVG."""
    colour = THEME.foreground_color.hex
    if style is not None and style.color is not None:
        colour = _GREY if style.color.number == 8 else style.color.get_truecolor(THEME).hex
    attributes = f'fill="{colour}"'
    if style is not None and style.bold:
        attributes += ' font-weight="bold"'
    if style is not None and style.dim:
        attributes += ' opacity="0.6"'
    return attributes


if __name__ == "__main__":
    main()
