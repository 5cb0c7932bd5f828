"""The address of a published JWK Set: what a provider gets from there, and for how long caches keep it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from banno_creds.http.client import HttpClient
from banno_creds.http.exchange import Answer
from banno_creds.rules.findings import Verdict
from banno_creds.rules.jwks_uri import fetch, judge_answer, kept_for
from tests.servers.loopback import Says

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.servers.scripted import ScriptedServer

pytestmark = pytest.mark.once

NOW = 1_795_276_800.0  # 2026-11-21 16:00:00 UTC
DATE = "Sat, 21 Nov 2026 16:00:00 GMT"
URL = "https://keys.bank.example/jwks.json"


def faults(headers: Mapping[str, str], seconds: float = 0.1) -> dict[str, str]:
    answer = Answer(URL, 200, "OK", headers, b"{}", seconds)
    return {each.rule: each.received for each in judge_answer(answer, NOW) if each.verdict is not Verdict.PASS}


GOOD = {"content-type": "application/jwk-set+json", "cache-control": "max-age=3600"}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"cache-control": "public"}, None),
        ({"cache-control": "max-age=300"}, 300),
        ({"cache-control": 'Public, MAX-AGE="300"'}, 300),
        ({"cache-control": "s-maxage=600"}, 600),
        ({"cache-control": "max-age=60, s-maxage=86400"}, 86400),  # each cache reads its own
        ({"cache-control": "max-age=300, max-age=9"}, 300),
        ({"cache-control": "no-store"}, 0),
        ({"cache-control": "no-cache, max-age=300"}, 300),  # not every reader knows the first
        ({"cache-control": "max-age=0, must-revalidate"}, 0),
        ({"cache-control": "max-age=soon"}, None),
        ({"cache-control": "max-age=-5"}, None),
        ({"cache-control": "max-age"}, None),
        ({"cache-control": "max-age=99999999999999999999"}, 999999999),
        ({"cache-control": "max-age=000000003600"}, 3600),
        ({"expires": "Sat, 21 Nov 2026 17:00:00 GMT"}, 3600),
        ({"expires": "Sat, 21 Nov 2026 17:00:00 GMT", "date": "Sat, 21 Nov 2026 16:59:00 GMT"}, 60),
        ({"expires": "Sat, 21 Nov 2026 15:00:00 GMT"}, 0),
        ({"expires": "0"}, 0),
        ({"expires": "-1", "date": DATE}, 0),
        ({"expires": "Sat, 21 Nov 2026 17:00:00 GMT", "cache-control": "max-age=5"}, 3600),
        ({"expires": "0", "cache-control": "max-age=5"}, 5),
    ],
)
def test_how_long_caches_keep_it(headers: dict[str, str], seconds: int | None) -> None:
    assert kept_for(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "rules"),
    [
        (GOOD, []),
        ({**GOOD, "content-type": "application/json; charset=utf-8"}, []),
        ({**GOOD, "content-type": "Application/JWK-Set+JSON"}, []),
        ({**GOOD, "content-type": "application/octet-stream"}, ["jwks.media_type"]),
        ({**GOOD, "content-type": "binary/octet-stream"}, ["jwks.media_type"]),
        ({**GOOD, "content-type": "text/html"}, ["jwks.media_type"]),
        ({**GOOD, "content-type": "text/plain"}, ["jwks.media_type"]),
        ({"cache-control": "max-age=60"}, ["jwks.media_type"]),
        ({"content-type": "application/json"}, ["jwks.caching"]),
        ({"content-type": "application/json", "last-modified": DATE, "etag": '"1"'}, ["jwks.caching"]),
        ({**GOOD, "cache-control": "max-age=604800"}, ["jwks.caching"]),
        ({**GOOD, "cache-control": "public, max-age=31536000, immutable"}, ["jwks.caching"]),
        ({**GOOD, "cache-control": "max-age=60, s-maxage=604800"}, ["jwks.caching"]),
        ({**GOOD, "cache-control": "no-store"}, []),
        ({**GOOD, "age": "3000"}, []),
        ({**GOOD, "age": "7200"}, ["jwks.caching"]),
        ({**GOOD, "vary": "Accept-Encoding"}, []),
        ({**GOOD, "content-encoding": "gzip"}, ["jwks.compression"]),
        ({**GOOD, "content-encoding": "identity"}, []),
    ],
)
def test_each_odd_header_is_a_warning(headers: dict[str, str], rules: list[str]) -> None:
    assert list(faults(headers)) == rules


def test_the_words_say_what_was_sent() -> None:
    answer = Answer(URL, 200, "OK", {**GOOD, "etag": '"1"', "vary": "Cookie, Accept-Encoding"}, b"{}", 0.1)
    told = {each.looks_at: each.received for each in judge_answer(answer, NOW)}
    assert told["caches"] == (
        "kept for up to 1 h · cache-control max-age=3600 · asked again by etag · another answer by cookie (vary)"
    )
    assert "30 days" in faults({**GOOD, "cache-control": "max-age=2592000"})["jwks.caching"]
    assert "for days" in faults({"content-type": "application/json", "last-modified": DATE})["jwks.caching"]


def test_slow_is_a_warning() -> None:
    assert faults(GOOD, seconds=2.4) == {}
    assert faults(GOOD, seconds=3.0) == {"jwks.time": "3.0 s"}


def test_one_request_is_made_and_its_answer_judged(server: ScriptedServer) -> None:
    server.says(Says(body=b'{"keys": []}', headers=GOOD))
    with HttpClient(10) as http:
        fetched = fetch(server.origin, http, NOW)
    assert fetched.content == b'{"keys": []}'
    assert len(server.requests) == 1
    assert {each.rule: each.verdict for each in fetched.findings} == {
        "jwks.address": Verdict.WARN,  # this machine
        "registration.unreachable": Verdict.PASS,
        "jwks.media_type": Verdict.PASS,
        "jwks.caching": Verdict.PASS,
    }


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (
            Says(302, headers={"location": "https://elsewhere.example/keys?secret=1"}),
            "redirects to https://elsewhere",
        ),
        (Says(301, headers={}), "redirects to (nowhere)"),
        (Says(404), "404"),
        (Says(401), "401"),
        (Says(204), "204"),
        (Says(503), "503"),
        (Says(body=b"x" * 1024 * 1025), "larger than 1024 KiB"),
        (Says(body=b"\x1f\x8bno", headers={"content-encoding": "gzip"}), "compressed in a way"),
    ],
)
def test_no_set_is_a_fault_and_asked_for_once(server: ScriptedServer, says: Says, words: str) -> None:
    server.says(says)
    with HttpClient(10) as http:
        fetched = fetch(server.origin, http, NOW)
    assert fetched.content is None
    assert len(server.requests) == 1
    fault = fetched.findings[-1]
    assert fault.verdict is Verdict.FAIL
    assert words in fault.received
    assert "secret" not in fault.received


@pytest.mark.parametrize(
    ("url", "verdict"),
    [
        ("https://keys.bank.com/jwks.json", Verdict.PASS),
        ("https://8.8.8.8/jwks.json", Verdict.PASS),
        ("https://10.0.0.5/jwks.json", Verdict.WARN),
        ("https://[fd00::1]/jwks.json", Verdict.WARN),
        ("https://intranet/jwks.json", Verdict.WARN),
        ("http://localhost:9/jwks.json", Verdict.WARN),
    ],
)
def test_an_address_that_a_provider_cannot_reach_is_a_warning(
    url: str, verdict: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HttpClient, "get", lambda _, url: Answer(url, 404, "Not Found", {}, b"", 0.1))
    with HttpClient(10) as http:
        address, _ = fetch(url, http, NOW).findings
    assert (address.rule, address.verdict) == ("jwks.address", verdict)
