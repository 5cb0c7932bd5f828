"""Texts that would move the cursor or colour the screen, and a report that shows one everywhere."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

from banno_creds import steps
from banno_creds.cli.report import Report
from banno_creds.errors import BannoCredsError
from banno_creds.login import steps as login_steps

STEP_CLASSES = (*get_args(steps.Step), *get_args(login_steps.LoginStep))

HOSTILE = {
    "colours": "\x1b[31;1mred\x1b[0m",
    "cursor": "\x1b[2J\x1b[H\x1b[1A\x1bc",
    "C1 controls": "\x9b2J\x84\x85\x90",
    "hyperlink": "\x1b]8;;http://evil/\x1b\\text\x1b]8;;\x1b\\",
    "clipboard": "\x1b]52;c;eA==\x07",
    "title": "\x1b]0;title\x07",
    "line ends": "one\rtwo\ntre\r\nfour\x0bfive\x0csix\u2028seven\u2029",
    "backspaces": "abc\b\b\bxyz\x7f\x00",
    "tabs": "a\tb",
    "bidirectional": "\u202eabc\u202c\u2066def\u2069\u200f\u061c",
    "invisible": "a\u200b\u200d\ufeffb\u00ad\U000e0041",
    "markup": "[/aud] [red]red[/red] [link=http://evil/]x[/link] [bold",
    "emoji code": ":smiley: :warning:",
    "surrogate": "\ud800 \udfff",
    "private use": "\ue000\U0010ffff",
    "wide": "漢字" * 200,
    "combining": "e" + "\u0301" * 300,
    "one long word": "x" * 10_000,
    "a megabyte": "line " * 200_000,
}


def sample(step: type[steps.Step], text: str) -> steps.Step:
    """A step with the text in every field that can hold one."""
    values: dict[str, Any] = {}
    for name, kind in get_type_hints(step).items():
        hint = str(kind)
        if name == "client_assertion":  # our own product, three parts always
            values[name] = ".".join([text.replace(".", " ")] * 3)
        elif "Mapping" in hint:
            claims = {
                "clientName": text,
                "institutionId": text,
                "exp": text,
                "iat": text,
                "aud": [text, {text: text}],
            }
            values[name] = {text: text} | claims
        elif "tuple[tuple" in hint:
            values[name] = ((text, text), ("scope", text))
        elif "tuple" in hint:
            values[name] = (text, text)
        else:
            values[name] = text if "str" in hint else 1
    return step(**values)


def show_everything(text: str, *, show_secrets: bool = False) -> None:
    """Show every step, and an error, with the text in it. Runs in a process of its own too."""
    report = Report(show_secrets=show_secrets)
    for step in STEP_CLASSES:
        report.step(sample(step, text))
    report.error(BannoCredsError(text, hint=text, details=(text, text)))
    own = text[:20_000]  # what is noted or to be copied is our own, and never cut
    report.note(own, own)
    report.verbatim(own)


def is_harmless(text: str) -> bool:
    return all(character.isprintable() for character in text.replace("\n", ""))
