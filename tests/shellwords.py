"""Words that shells get wrong, and how shells and programs read what is written."""

from __future__ import annotations

import re

WORDS = (
    *("", "a", "a b", "a\\b", "C:\\a b\\c.pem", "a b\\", "a\\", "a b\\\\", "a&b\\", "C:\\", "\\\\server\\share\\x y"),
    *('a"b', 'a "b" c', 'x"y z', '"', '\\"', 'a\\\\"b c\\', 'x:={"a":1}', 'x={"a": "b c"}', "it's"),
    *("\u2018q\u2019 \u201a\u201b", "\u201cq\u201d", "\u201eq", "a\u2013b", "\u2014x"),
    *("$HOME", "$(x)", "`n", "a`b", "50%", "a%20b%20c", "!NAME!", "!", "^", "a^b", "a&b", "a|b", "a<b>c", "(a)"),
    *("a;b,c", "@x", "a@b", "#x", "{a}", "{", "[a]", "*", "?", "~", "~\\x", "a\tb", "\u00fc", "\u65e5\u672c \u8a9e"),
    *("-", "--", "--%", "-x", "-x.y", "-a:b", "--a=b c", "--issuer=https://h:1/p?q=1&r=2", "/x", "=a", "+5", "a=b"),
    *("a\u00a0b\\", "name=\u2026", "&"),
)
# Wine's cmd expands a variable with a caret in its name.
NAMES_OF_VARIABLES = ("%NAME%", '"%NAME%"', "100% of %NAME%")


def read_by_powershell(text: str) -> str:
    """Return the value of one argument: a bare word, or a text in quotes without anything that acts in it."""
    if text[:1] == "'":
        inner = text[1:-1]
        assert text[-1] == "'"
        assert not re.search("['\u2018-\u201b]", re.sub("(['\u2018-\u201b])\\1", "", inner))
        return re.sub("(['\u2018-\u201b])\\1", r"\1", inner)
    if text[:1] == '"':
        assert not re.search('[$`"\u201c-\u201e]', text[1:-1])
        return text[1:-1]
    assert not re.search("[\\s'\"`$(){};,|&<>@#\u2018-\u201e]", text)
    assert not re.match("[~\u2013\u2014\u2015]", text)
    assert not re.match(r"-\w*[.:]", text)
    assert text not in ("", "--%")
    return text


def passed_on_by_windows_powershell(arguments: list[str]) -> str:
    """Return the command line that Windows PowerShell 5.1 starts a program with."""
    passed = []
    for argument in filter(None, arguments):
        quotes, wraps = 0, False
        for char in argument:
            quotes += char == '"'
            wraps = wraps or (char.isspace() and quotes % 2 == 0)
        passed.append(f'"{argument}"' if wraps else argument)
    return " ".join(passed)


def read_by_cmd(line: str) -> str:
    """Return what cmd makes of a command line that it runs; its variables are none of ours."""
    passed, quoted, left = "", False, list(line)
    while left:
        char = left.pop(0)
        if char == "^" and not quoted:
            char = left.pop(0)
        elif char == '"':
            quoted = not quoted
        else:
            assert quoted or char not in "&|<>()"
        passed += char
    return passed


def read_by_a_program(line: str) -> list[str]:
    """Return the arguments that Microsoft's C library finds in a command line."""
    found: list[str] = []
    word: str | None = None
    quoted = False
    pieces = re.findall(r'(\\*)(")|(\\+|.)', line, re.DOTALL)
    number = 0
    while number < len(pieces):
        slashes, quote, other = pieces[number]
        number += 1
        if quote:
            word = (word or "") + "\\" * (len(slashes) // 2)
            again = number < len(pieces) and pieces[number][:2] == ("", '"')
            if len(slashes) % 2:
                word += '"'
            elif quoted and again:
                word, number = word + '"', number + 1
            else:
                quoted = not quoted
        elif other in (" ", "\t") and not quoted:
            found += [] if word is None else [word]
            word = None
        else:
            word = (word or "") + other
    return found if word is None else [*found, word]
