"""Draw docs/demo.svg: the demo as a terminal shows it. ``make picture`` after a change of what it prints."""

from __future__ import annotations

import os
import pty
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 92


def record() -> bytes:
    """Run the demo in a pseudo-terminal and keep what it prints."""
    os.environ.update(COLUMNS=str(COLUMNS), LINES="60", TERM="xterm-256color")
    kept = bytearray()

    def read(descriptor: int) -> bytes:
        data = os.read(descriptor, 65536)
        kept.extend(data)
        return data

    status = pty.spawn([sys.executable, "-m", "banno_creds", "demo"], read)
    if status:
        sys.exit("the demo failed")
    return bytes(kept)


def main() -> None:
    """Write the picture beside this file."""
    text = Text.from_ansi(record().decode().replace("\r\n", "\n"))
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True, color_system="truecolor")
        console.print(text)
        svg = console.export_svg(title="banno-creds demo")
    # No font from elsewhere: a page that shows the picture should fetch nothing else.
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    svg = svg.replace("font-family: Fira Code, monospace", "font-family: ui-monospace, Menlo, Consolas, monospace")
    Path(__file__).with_name("demo.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
