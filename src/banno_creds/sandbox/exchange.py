"""One exchange: the request's time, faults and parameters, its lines in the log, and answers in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Response, g, jsonify, request
from werkzeug.datastructures import MultiDict

from banno_creds.rules.findings import Rule
from banno_creds.sandbox.refusals import RefusalError, log_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from banno_creds.sandbox.faults import Faults


def now() -> int:
    """Return the server's time in whole seconds; the fault ``clock-skew`` moves it."""
    time: float = g.clock()
    return int(time)


def machine_now() -> int:
    """Return the time in whole seconds, without ``clock-skew``: memories must use a clock that never jumps."""
    return now() - faults().clock_skew


def faults() -> Faults:
    """Return the faults of this request."""
    asked: Faults = g.faults
    return asked


def say(text: str) -> None:
    """Write a line to the log, with the request's id."""
    g.log(f"{log_line(text)} (x-request-id {g.request_id})")


def body_parameters() -> MultiDict[str, str]:
    """Return the parameters of a form-encoded body."""
    form_encoded = request.mimetype == "application/x-www-form-urlencoded"
    return with_values(request.form) if form_encoded else MultiDict()


def browser_parameters() -> MultiDict[str, str]:
    """Return the parameters of a browser's request: those of the query, or of the body of a POST."""
    return request.form if request.method == "POST" else request.args


def with_values(parameters: MultiDict[str, str]) -> MultiDict[str, str]:
    """Leave out the parameters without a value: they count as omitted (RFC 6749 sections 3.1 and 3.2)."""
    return MultiDict([(name, value) for name, value in parameters.items(multi=True) if value])


def reject_repeated(parameters: MultiDict[str, str], names: Iterable[str]) -> None:
    """Raise `RefusalError` if one of these parameters is there more than once."""
    for name in names:
        if len(parameters.getlist(name)) > 1:
            raise RefusalError(
                Rule.PARAMETER_REPEATED, f"{name} more than once", "each parameter once (RFC 6749 section 3.2)"
            )


def in_json(content: object, status: int = 200) -> Response:
    """Make an answer in JSON that no cache keeps."""
    response = jsonify(content)
    response.status_code = status
    response.headers["Cache-Control"] = "no-store"
    return response
