"""The one place that prints: results to stdout, plain; steps, warnings and errors to stderr, for people.

A result never passes through Rich. Everything on stderr does, as `Text`, never as markup, and nothing that is not
printable reaches it, wherever it came from. Rich is imported only when there is something to show.
"""

from __future__ import annotations

import codecs
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, Literal, Self, TextIO

from banno_creds import steps
from banno_creds.cli.lines import DIM, INDENT, Line, describe, hang, rows
from banno_creds.errors import BannoCredsError, OutputError
from banno_creds.streams import is_one_place, takes_escapes
from banno_creds.text import on_one_line, printable, sentence, spelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rich.console import Console
    from rich.text import Text

    from banno_creds.login.steps import LoginStep
    from banno_creds.rules.findings import Part

_LEAST_WIDTH = 20
_NARROW = 60  # columns
_NARROW_HANG = 8
_FACT_WIDTH = 12  # what is left of 80 columns holds a SHA-256 in hexadecimal


def check_stdout() -> None:
    """Refuse a closed standard output, before anything is done for a result that could not be written."""
    if sys.stdout is None:
        raise not_written(OSError(9, "it is closed"))


def write_result(text: str) -> None:
    """Write a result to stdout and make sure it has arrived there."""
    try:
        if sys.stdout is None:
            raise OSError(9, "it is closed")  # noqa: TRY301 - the same words for all that can go wrong
        sys.stdout.write((visible(text) if sys.stdout.isatty() else text) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as failure:
        raise not_written(failure) from None


def visible(text: str) -> str:
    """Write the characters that a terminal obeys or that reorder a line, so that they are seen and do nothing.

    Line ends and tabs stay. A pipe or a file gets everything as it is.
    """
    text = text.replace("\r\n", "\n")
    return text if text.translate(_LINES).isprintable() else "".join(map(_visible, text))


_LINES = str.maketrans("\n\t", "  ")
_JOINERS = "\u200c\u200d"  # in words of some scripts, and in pictures


def _visible(character: str) -> str:
    is_blank = character.isspace() and character not in "\x1c\x1d\x1e\x1f\x85\u2028\u2029\v\f\r"
    if character.isprintable() or is_blank or character in _JOINERS:
        return character
    if character < " " or character == "\x7f":
        return f"^{chr(ord(character) ^ 0x40)}"  # as less and cat -v write it
    return character.encode("unicode_escape").decode("ascii")


class ResultStream:
    """Standard output for bytes. Where standard error goes to the same place, it begins a line of its own.

    Attributes:
        current: the one that is open.
    """

    current: ClassVar[ResultStream | None] = None

    def __init__(self) -> None:
        self._last = b"\n"
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._carriage = ""

    def __enter__(self) -> Self:
        self.write(b"")  # it may be closed, and then nothing need be asked
        ResultStream.current = self
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        ResultStream.current = None
        if sys.stdout is not None and sys.stdout.isatty():
            with suppress(OutputError, BrokenPipeError):
                self.write(b"", final=True)
        if kind is not None:
            self.end_line()
        # The shell's prompt follows on a terminal.
        if not self._last.endswith(b"\n") and sys.stdout.isatty():
            self.write(b"\n")

    def end_line(self) -> None:
        """End a line that is open where standard error goes too, before something is said there.

        The line end goes to standard error: the result stays what it is.
        """
        if not self._last.endswith(b"\n") and _is_one_place():
            with suppress(OSError):  # nobody reads it, nor what follows
                sys.stderr.write("\n")
                sys.stderr.flush()
            self._last = b"\n"

    def write(self, piece: bytes, *, final: bool = False) -> None:
        """Write a piece of the answer at once; on a terminal, with what it would obey made visible."""
        try:
            if sys.stdout is None:
                raise OSError(9, "it is closed")  # noqa: TRY301 - the same words for all that can go wrong
            if sys.stdout.isatty():
                piece = self._for_terminal(piece, final=final)
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as failure:
            raise OutputError(
                f"the answer could not be written to standard output: {failure.strerror}",
                hint="check where standard output goes; the answer is not whole",
            ) from None
        self._last = piece or self._last

    def _for_terminal(self, piece: bytes, *, final: bool) -> bytes:
        text = self._carriage + self._decoder.decode(piece, final)
        self._carriage = "\r" if text.endswith("\r") and not final else ""  # a line feed may follow
        shown = visible(text[: len(text) - len(self._carriage)])
        return shown.encode(sys.stdout.encoding or "utf-8", "backslashreplace")


def _is_one_place() -> bool:
    """Return whether standard output and standard error are the same terminal, file or pipe."""
    try:
        return is_one_place(sys.stdout.fileno(), sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):  # closed, or no file at all
        return False


def as_option(name: str) -> str:
    """Spell a setting as an option: ``token_endpoint`` is ``--token-endpoint``."""
    return "--" + name.replace("_", "-")


class Report:
    """Turns steps and errors into text on stderr, and findings into text on stdout, where they are the result.

    Args:
        quiet: leave steps out; warnings and errors are always shown.
        silent: nothing but warnings and errors was asked for: leave the sign of life out, too.
        show_secrets: show assertions and tokens whole.
        spell: how messages name a setting; by default as an option.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        silent: bool = False,
        show_secrets: bool = False,
        spell: Callable[[str], str] | None = None,
    ) -> None:
        self.silent = silent
        self._spell = spell or as_option
        self.quiet = quiet
        self.show_secrets = show_secrets
        self.warned = False
        self._number = 0
        self._part: str | None = None
        self._stderr = _Stream("stderr")
        self._stdout = _Stream("stdout")
        self._print = self._stderr.print

    def step(self, step: steps.Step | LoginStep) -> None:
        """Show a step."""
        if isinstance(step, steps.Warned):
            self.warning(step.message, step.hint)
        elif not self.quiet:
            title, lines = describe(step, show_secrets=self.show_secrets)
            self._number += 1
            self._print(((f"{self._number:>2}  ", DIM), (title, "bold")), hang=4)
            for line in lines:
                self._print(line, indent=INDENT, hang=hang(line))

    def part(self, part: Part) -> None:
        """Show the findings about one part of a set-up on stdout, under its title unless that was just shown."""
        if part.title != self._part:
            if self._stdout.used:
                self._stdout.print(())
            if part.title:
                self._stdout.print(((part.title, "bold"),))
            self._part = part.title
        self.table(rows(part.findings))
        for note in part.notes:
            self._stdout.print(((note, ""),), indent=INDENT, hang=3)

    def table(self, lines: Iterable[tuple[Line, str, int]]) -> None:
        """Show lines on stdout, each with its indent and its further indent when it wraps."""
        for line, indent, further in lines:
            self._stdout.print(line, indent=indent, hang=further)

    def fact(self, name: str, value: str, *, copied: bool = False) -> None:
        """Show a fact on stdout, in two columns; what is to be copied is never broken."""
        value = printable(value, 1000)
        if copied and not self._stdout.holds(len(INDENT) + _FACT_WIDTH + len(value)):
            self._stdout.print(((name, DIM),), indent=INDENT)
            self._stdout.print(((value, ""),), indent=INDENT, wraps=False)
        else:
            self._stdout.print(((f"{name:<{_FACT_WIDTH}}", DIM), (value, "")), indent=INDENT, hang=_FACT_WIDTH)

    def note(self, title: str, *lines: str) -> None:
        """Show something that is not a step, such as what to do next."""
        self._print(((title, "bold"),))
        for line in lines:
            self._print(((line, ""),), indent=INDENT)

    def end(self) -> None:
        """Set off the result that follows on the same terminal, if steps were shown."""
        if self._number and sys.stdout is not None and sys.stdout.isatty():
            self._print(())

    def chapter(self, title: str) -> None:
        """Start a part of something longer, set off from what was before."""
        self._print(())
        self._print(((title, "bold underline"),))

    def typed(self, command: str) -> None:
        """Show a command as it would be typed; never wrapped, for it can be copied."""
        from banno_creds.shells import of_windows

        prompt = "> " if of_windows() else "$ "
        for number, line in enumerate(command.split("\n")):
            self._print((("  " if number else prompt, DIM), (line, "cyan")), wraps=False)

    def log(self, line: str) -> None:
        """Show a line of a log, such as the sandbox's."""
        self._print(((line, ""),), wraps=False)

    def verbatim(self, text: str) -> None:
        """Show text that is to be copied: never wrapped, never changed."""
        for line in text.split("\n"):
            self._print(((line, ""),), indent=INDENT, wraps=False)

    def warning(self, message: str, hint: str | None = None) -> None:
        """Show a warning."""
        self.warned = True
        self._print((("!   ", "yellow"), (_sentence(spelled(message, self._spell)), "yellow")), hang=4)
        if hint:
            self._print(((printable(spelled(hint, self._spell), 1000), ""),), indent=INDENT)

    def error(self, error: BannoCredsError, doctor: str = "") -> None:
        """Show what failed, the server's words, and what to do next; ``doctor`` is the command line to copy."""
        words = error.words(self._spell)
        self._print((("✗   ", "bold red"), (_sentence(words.message), "bold red")), hang=4)
        for detail in words.details:
            self._print(((printable(detail), ""),), indent=INDENT)
        if words.hint:
            end = ":" if error.doctor_can_tell else ""
            self._print((("Next: ", "bold"), (printable(words.hint, 1000) + end, "")), indent=INDENT)
            if error.doctor_can_tell:
                self._print(((doctor or "banno-creds doctor", "cyan"),), indent=INDENT, wraps=False)
        if error.rule and "banno-creds explain" not in (words.hint or ""):
            from banno_creds.rules.explanations import EXPLANATIONS

            if error.rule in EXPLANATIONS:
                self._print(((f"More: banno-creds explain {error.rule}", DIM),), indent=INDENT)


class _Stream:
    """One of the two streams, for lines that people read.

    A failed write to stdout is an error, for a result is lost; after one to stderr the work goes on.
    """

    def __init__(self, name: Literal["stdout", "stderr"]) -> None:
        self.used = False
        self._name = name
        self._console: Console | None = None

    def print(self, line: Line, *, indent: str = "", hang: int = 0, wraps: bool = True) -> None:
        """Print one line; at a terminal wrapped to its width, with further rows indented by ``hang``."""
        stream = sys.stdout if self._name == "stdout" else sys.stderr
        console = self._console = self._console or console_of(stream)
        self.used = True
        if console is None:
            self._fail(OSError(9, "it is closed"))
            return
        from rich.text import Text

        text = Text(no_wrap=True, end="")
        for content, style in line:
            text.append(encodable(on_one_line(content), stream), style or None)
        rows: Sequence[Text] = [text]
        width = console.width - len(indent)
        if console.width < _NARROW:
            hang = min(hang, _NARROW_HANG)  # a column of its own would leave no room
        # FORCE_COLOR makes Rich take a pipe for a terminal: colours were asked for then, and no line ends.
        if wraps and text.cell_len > width and stream.isatty():
            rows = text.wrap(console, max(_LEAST_WIDTH, width), no_wrap=False)[:1]
            rest = text[len(rows[0].plain.rstrip()) :]
            rest = rest[len(rest.plain) - len(rest.plain.lstrip()) :]
            rows = [*rows, *rest.wrap(console, max(_LEAST_WIDTH, width - hang), no_wrap=False)]
        try:
            for number, row in enumerate(rows):
                row.rstrip()
                lead = indent + (" " * hang if number else "")
                if console.is_terminal:
                    console.print(Text(lead, end="").append_text(row), soft_wrap=True)
                elif not console.quiet:  # the same, in a tenth of the time: thousands of profiles are many lines
                    stream.write(f"{lead}{row.plain}\n")
            stream.flush()
        except OSError as failure:
            # Nobody reads it, or the disk is full.
            console.quiet = True
            self._fail(failure)

    def holds(self, columns: int) -> bool:
        """Return whether a line of so many columns fits; in a pipe every line does."""
        stream = sys.stdout if self._name == "stdout" else sys.stderr
        console = self._console = self._console or console_of(stream)
        return console is None or not stream.isatty() or columns <= console.width

    def _fail(self, failure: OSError) -> None:
        if self._name == "stderr":
            return
        if isinstance(failure, BrokenPipeError):
            raise failure
        raise not_written(failure)


def console_of(stream: TextIO | None) -> Console | None:
    """Return Rich's console for a stream; NO_COLOR means no escape sequences at all."""
    if stream is None:
        return None
    from rich.console import Console

    class StreamConsole(Console):
        def on_broken_pipe(self) -> None:
            """Leave it to `_Stream`: Rich would close stdout and exit, and the result would be lost."""
            raise  # Rich calls this while it handles the error

    return StreamConsole(
        file=stream,
        # Rich would take an empty FORCE_COLOR for a wish to have none.
        force_terminal=stream.isatty() or bool(os.environ.get("FORCE_COLOR")),
        color_system="auto" if takes_escapes(stream) and not os.environ.get("NO_COLOR") else None,
        legacy_windows=False,  # Rich would judge every stream by standard output
        highlight=False,
        markup=False,
        emoji=False,
    )


def not_written(failure: OSError) -> OutputError:
    """Return the error for a result that could not be written."""
    return OutputError(
        f"the result could not be written to standard output: {failure.strerror}",
        hint="check where standard output goes; the result is lost",
    )


# For a stream that can show ASCII only; the rest is escaped by the stream itself.
_ASCII = str.maketrans({"✓": "+", "✗": "x", "…": "...", "·": "-", "—": "-", "←": "<-"})


def encodable(text: str, stream: TextIO | None) -> str:
    """Replace our own characters where a stream can show ASCII only."""
    encoding = getattr(stream, "encoding", None) or "ascii"
    return text if encoding.lower().startswith("utf") else text.translate(_ASCII)


def _sentence(message: str) -> str:
    return sentence(printable(message, 1000))
