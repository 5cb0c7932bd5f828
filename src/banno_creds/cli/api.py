"""``banno-creds api``: call the API with an access token; the answer goes to standard output as it comes."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click
from click.core import ParameterSource

from banno_creds.api.body import Content, refuse_key, refuse_secret_file, typed
from banno_creds.api.call import call
from banno_creds.api.request import make_request
from banno_creds.checks import is_loopback
from banno_creds.cli.inputs import END_OF_INPUT, expand
from banno_creds.cli.options import cache_options
from banno_creds.cli.parameters import NAMED, PROFILE, Command, complete_file, option
from banno_creds.cli.report import Report, ResultStream
from banno_creds.cli.settings import credentials, report_for, run_for, wanted
from banno_creds.config import DEFAULT_API_BASE
from banno_creds.errors import ConfigurationError, RefusedError
from banno_creds.storage import own_files
from banno_creds.storage.secret_files import MOST_BYTES, as_utf8
from banno_creds.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from banno_creds.api.request import ApiRequest
    from banno_creds.steps import AnswerReceived, Step

_STDIN = "-"


class Pair(click.ParamType[tuple[str, str]]):
    """Two texts with a separator, such as ``name=value``."""

    # In a variable, one a line: values may contain blanks.
    envvar_list_splitter = "\n"

    def __init__(self, between: str, name: str) -> None:
        self.between = between
        self.name = name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Split at the first separator. The text is not shown in an error: it may be a secret."""
        name, between, text = str(value).partition(self.between)
        if not between or not name.strip():
            self.fail(f'write it as "{self.name}"', param, ctx)
        try:
            value.encode()
        except UnicodeError:
            self.fail("it is not text in UTF-8", param, ctx)
        return name, text


_FIELD = Pair("=", "name=value")
_HEADER = Pair(":", "Name: value")


class _Path(click.Argument):
    """The argument, explained in the help beside the options."""

    section = "API"

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        """Explain it; not every version of click has help for arguments."""
        return self.make_metavar(ctx), "The path to call, such as /a/…, with a query or without; or a whole URL."


@click.command("api", cls=Command)
@click.argument("path", cls=_Path, metavar="PATH")
@option(
    "--method",
    "-X",
    command="api",
    metavar="METHOD",
    section="API",
    help="The HTTP method.  [default: POST with fields or a body, else GET]",
)
@option(
    "--raw-field",
    "-f",
    "raw_fields",
    command="api",
    type=_FIELD,
    multiple=True,
    metavar="NAME=VALUE",
    section="API",
    help="A field as text, in the query of a GET, else in a JSON body. There, name[member]=… and name[]=… make "
    "objects and arrays. Repeatable; in the variable, one per line.",
)
@option(
    "--field",
    "-F",
    "typed_fields",
    command="api",
    type=_FIELD,
    multiple=True,
    metavar="NAME=VALUE",
    section="API",
    help="A field like -f, but true, false, null and whole numbers are JSON values, @FILE is a file's text, and @- "
    "is standard input.",
)
@option(
    "--header",
    "-H",
    "headers",
    command="api",
    type=_HEADER,
    multiple=True,
    metavar="'NAME: VALUE'",
    section="API",
    help="A header. Never a secret: everybody on the machine can see arguments. Repeatable; in the variable, one "
    "per line.",
)
@option(
    "--input",
    "input_file",
    command="api",
    metavar="FILE",
    shell_complete=complete_file,
    section="API",
    help="The file to send as the body, - for standard input. It is sent as JSON unless -H says otherwise, "
    "and fields go into the query.",
)
@option(
    "--include", "-i", is_flag=True, command="api", section="API", help="Show status and headers before the body."
)
@option(
    "--paginate",
    is_flag=True,
    command="api",
    section="API",
    help="Ask for all pages, if the answer has a totalCount; each page is one JSON document.",
)
@option(
    "--api-base",
    metavar="URL",
    default=DEFAULT_API_BASE,
    show_default=True,
    section="API",
    help="The API's scheme, host and port. The token goes nowhere else.",
)
@cache_options
@click.pass_context
def command(context: click.Context, /, path: str, **values: Any) -> None:
    """Call the API with an access token, from the cache if possible.

    PATH is a path of the API, with a query or without. Placeholders in it, such as {institutionId}, are filled from
    the token's claims. The answer's body goes to standard output as it arrives, its status and x-request-id to
    standard error. --timeout limits how long the answer may take to begin, and how long it may pause.
    """
    report = report_for(values)
    _check_standard_input(values)
    _tell_of_another_api(context, values["api_base"])
    whose = credentials(context, values, report)

    def answered(answer: AnswerReceived) -> None:
        if not report.silent:  # the steps are left out by default, the status only if --quiet is given
            report.log(status_line(answer))
        report.end()

    with ExitStack() as stack:
        output = stack.enter_context(ResultStream())

        def emit(step: Step) -> None:
            output.end_line()  # a warning may come after a page
            report.step(step)

        run = run_for(context, report)._replace(emit=emit)
        request = _request(path, values, report, stack)
        cache = None if values["no_cache"] else whose.open_cache(run)
        try:
            call(whose, request, cache, run, write=output.write, answered=answered, wanted=wanted(values))
        except RefusedError as failure:
            is_implied = request.method == "POST" and values["method"] is None and values["input_file"] is None
            if failure.status not in (404, 405) or not is_implied:
                raise
            option = "-f" if values["raw_fields"] else "-F"
            hint = f"{option} made this a POST; for a GET with a query, add -X GET"
            raise failure.but(hint=hint) from None


def _is_here(base: str) -> bool:
    from urllib.parse import urlsplit

    try:
        return is_loopback(urlsplit(base).hostname or "")
    except ValueError:
        return False


def _tell_of_another_api(context: click.Context, base: str) -> None:
    """Warn where a variable says to whom the token of a named profile goes: it may be another institution's API."""
    by_variable = context.get_parameter_source("api_base") is ParameterSource.ENVIRONMENT
    if by_variable and NAMED in context.meta and base.rstrip("/") != DEFAULT_API_BASE and not _is_here(base):
        name = context.meta[PROFILE].name
        Report().warning(
            f"BANNO_CREDS_API_BASE sends the token of profile {name} to {printable(base)}",
            f"to keep it: banno-creds profile set {name} --api-base …; for one call: --api-base URL",
        )


def status_line(answer: AnswerReceived) -> str:
    """Return the status of an answer, and the request id that a support case needs."""
    request_id = f" · x-request-id {answer.request_id}" if answer.request_id else ""
    status = f"{answer.status} {answer.reason}".rstrip()
    return f"{status} in {answer.seconds * 1000:.0f} ms{request_id}"


def _request(path: str, values: Mapping[str, Any], report: Report, stack: ExitStack) -> ApiRequest:
    fields: list[tuple[str, Any]] = list(values["raw_fields"])
    fields += [(name, _typed(text, values, report, stack)) for name, text in values["typed_fields"]]
    content = None
    if values["input_file"] is not None:
        source, origin = _open(values["input_file"], report, stack)
        _refuse_own_file(source, values, origin)
        content = stack.enter_context(closing(Content(source, origin)))
    return make_request(
        path,
        base=values["api_base"],
        method=values["method"],
        fields=fields,
        headers=[(name, value.strip(" \t")) for name, value in values["headers"]],
        content=content,
        include=values["include"],
        paginate=values["paginate"],
    )


def _refuse_own_file(source: BinaryIO, values: Mapping[str, Any], origin: str) -> None:
    """Refuse to send a file with a secret of this run: those of its settings, and what we keep ourselves."""
    named = (values[name] for name in ("private_key", "passphrase_file", "client_secret_file"))
    files = [expand(name) for name in named if name not in (None, _STDIN)]
    for folder in (own_files.state_folder(), own_files.cache_folder()):
        if folder is not None:
            with suppress(OSError):
                files += Path(folder).iterdir()
    with suppress(OSError, ValueError):  # it is no file
        refuse_secret_file(os.fstat(source.fileno()), files, origin)


def _typed(text: str, values: Mapping[str, Any], report: Report, stack: ExitStack) -> Any:
    if not text.startswith("@"):
        return typed(text)
    file = text[1:]
    source, origin = _open(file, report, stack)
    _refuse_own_file(source, values, origin)
    content = b""
    while len(content) <= MOST_BYTES and (piece := source.read(MOST_BYTES)):
        content += piece
    if len(content) > MOST_BYTES:
        raise ConfigurationError(
            f"{origin} is larger than {MOST_BYTES // 1024} KiB", hint="send it with --input FILE"
        )
    refuse_key(content, origin)
    try:
        return as_utf8(content).decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"the content of {text} is not text in UTF-8, and a field must be", hint="send it with --input FILE"
        ) from None


def _open(file: str, report: Report, stack: ExitStack) -> tuple[BinaryIO, str]:
    if file == _STDIN:
        return _standard_input(report), "standard input"
    path = expand(file)
    try:
        return stack.enter_context(path.open("rb")), file
    except FileNotFoundError:  # in the words of `secret_files.read_file`, which a field's file gets
        raise ConfigurationError(
            f"no such file: {file}", hint="check the path; a relative one counts from the current folder"
        ) from None
    except OSError as failure:
        if os.path.isdir(path):  # noqa: PTH112 - Windows reports it as a lack of permission, which is_dir() passes on
            raise ConfigurationError(f"{file} is a directory", hint="name the file in it") from None
        raise ConfigurationError(f"{file} cannot be read: {failure.strerror}", hint="give another --input") from None


def _standard_input(report: Report) -> BinaryIO:
    """Return standard input without its buffer, whose lock a waiting thread would hold when the program ends."""
    if sys.stdin is None:
        raise ConfigurationError("standard input is closed, and --input or a field wants it", hint="give a file")
    if sys.stdin.isatty():
        report.note(f"Reading the body: paste it, then press {END_OF_INPUT}.")
    source: BinaryIO = getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)
    return source


def _check_standard_input(values: Mapping[str, Any]) -> None:
    """Refuse to read two things from standard input: neither would be whole."""
    wanted = ["the private key"] if values["private_key"] == _STDIN else []
    wanted += ["the passphrase"] if values["passphrase_file"] == _STDIN else []
    wanted += ["the client secret"] if values["client_secret_file"] == _STDIN else []
    wanted += ["the body"] if values["input_file"] == _STDIN else []
    wanted += [f"the field {name}" for name, text in values["typed_fields"] if text == f"@{_STDIN}"]
    if len(wanted) > 1:
        raise ConfigurationError(
            f"standard input cannot be both {wanted[0]} and {wanted[1]}", hint="give one of them as a file"
        )
