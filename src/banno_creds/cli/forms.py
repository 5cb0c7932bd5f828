"""The forms that a token response can be given in, and the variables that carry a token to others."""

from __future__ import annotations

import os
import sys
from json import dumps
from typing import TYPE_CHECKING, Literal

from banno_creds.cli.report import check_stdout, write_result
from banno_creds.errors import ConfigurationError, OutputError
from banno_creds.storage.own_files import MODES_MEAN_SOMETHING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from banno_creds.cli.report import Report
    from banno_creds.tokens.response import TokenResponse

FORMS = ("json", "token", "header", "env", "powershell", "cmd", "github")
FORMS_HELP = (
    "The result's form: json is the whole token response; token the access token alone; header an Authorization "
    'header; env a line that a POSIX shell can eval (in two steps, vars=$(…) and eval "$vars": eval alone hides a '
    "failure); powershell a line for Invoke-Expression; cmd lines of set; github, in GitHub Actions, only a mask for "
    "the log: the token is written to $GITHUB_ENV and $GITHUB_OUTPUT."
)


def check_form(form: str, report: Report) -> None:
    """Refuse, before a token is asked for, ``github`` outside of GitHub Actions and a file that cannot be written."""
    check_stdout()
    if form == "env":
        from banno_creds.shells import of_windows

        if of_windows():
            report.warning(
                "--output env is for a POSIX shell, such as Git Bash",
                "for PowerShell take --output powershell, for cmd --output cmd",
            )
    if form == "github":
        for file in _githubs_files().values():
            _append(file, "")


def warn_of_readers(report: Report) -> None:
    """Warn if standard output is a file that others can read: a login's result has all its tokens."""
    from banno_creds.storage.secret_files import who_else

    try:
        others = who_else("", sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):  # closed, or no file at all
        return
    if others.readers:
        before = "set umask 077 before" if MODES_MEAN_SOMETHING else "name a file in a folder of your own"
        report.warning(
            "standard output is a file that others on this machine can read, and the tokens go there",
            f"{before}, or leave the file out: the login is kept anyway",
        )


def write_token(response: TokenResponse, form: str) -> str:
    """Write the result to stdout and, for ``github``, to GitHub's files; return what went to stdout."""
    if form != "github":
        text = format_result(response, form)
        write_result(text)
        return text
    files = _githubs_files()
    variables = token_variables(response)
    # First of all: what follows may show the token in the job's log.
    mask = f"::add-mask::{response.access_token.replace('%', '%25')}"  # what the runner decodes in such a line
    write_result(mask)
    for variable, file in files.items():
        names = variables if variable == "GITHUB_ENV" else {_OUTPUTS[name]: variables[name] for name in variables}
        _append(file, "".join(f"{name}={value}\n" for name, value in names.items()))
    return mask


def format_result(response: TokenResponse, form: str) -> str:
    """Return the result for stdout, in a form other than ``github``; one line, but for ``cmd``.

    The access token was checked: it has no blank and no line end.

    Raises:
        OutputError: the form cannot carry the token.
    """
    if form == "json":
        return dumps(response.raw)
    if form == "token":
        return response.access_token
    variables = token_variables(response)
    if form == "header":
        return f"Authorization: Bearer {response.access_token}"
    from banno_creds.shells import assignments

    try:
        return assignments(variables, _SHELLS[form])
    except ValueError:
        raise OutputError(
            "the token has characters in it that cmd changes, or is too long for a line of it",
            hint="take --output powershell, or run your command with: banno-creds exec -- COMMAND",
        ) from None


_SHELLS: Mapping[str, Literal["posix", "cmd", "powershell"]] = {
    "env": "posix",
    "powershell": "powershell",
    "cmd": "cmd",
}


def token_variables(response: TokenResponse) -> dict[str, str]:
    """Return the environment variables that tell another program of a token.

    Always all three: one that an earlier token left behind would speak of another token.
    """
    from banno_creds.tokens.response import bearer_token

    return {
        "BANNO_ACCESS_TOKEN": bearer_token(response),
        "BANNO_TOKEN_TYPE": "Bearer",
        "BANNO_TOKEN_EXPIRES_AT": "" if response.expires_at is None else str(response.expires_at),
    }


_OUTPUTS = {
    "BANNO_ACCESS_TOKEN": "access_token",
    "BANNO_TOKEN_TYPE": "token_type",
    "BANNO_TOKEN_EXPIRES_AT": "expires_at",
}


def _githubs_files() -> dict[str, str]:
    files = {name: os.environ[name] for name in ("GITHUB_ENV", "GITHUB_OUTPUT") if os.environ.get(name)}
    if not files:
        raise ConfigurationError(
            "--output github needs GITHUB_ENV or GITHUB_OUTPUT, and neither is set",
            hint="use it in a job of GitHub Actions; elsewhere take another form",
        )
    return files


def _append(file: str, lines: str) -> None:
    try:
        with open(file, "a", encoding="utf-8", newline="\n") as stream:  # noqa: PTH123 - the runner made it
            stream.write(lines)
    except OSError as failure:
        raise OutputError(
            f"the token could not be written to {file}: {failure.strerror}",
            hint="check that this step runs where the runner's files are; in a container, that they are mounted",
        ) from None
