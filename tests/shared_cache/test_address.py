"""The URL of a shared cache: its parts, its faults, and what no message shows."""

from __future__ import annotations

import pytest

from banno_creds import ConfigurationError
from banno_creds.cache_address import check_cache_url, read_cache_url
from banno_creds.profiles.settings import find_fault

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("redis://cache", ("redis", "cache", 6379, "", 0, "", "")),
        ("rediss://Cache.Bank.internal:6380/3", ("rediss", "cache.bank.internal", 6380, "", 3, "", "")),
        ("redis://h:0", ("redis", "h", 0, "", 0, "", "")),
        ("redis://[::1]:7/?db=2", ("redis", "::1", 7, "", 2, "", "")),
        ("redis://:p%40ss%2F@h/0", ("redis", "h", 6379, "", 0, "", "p@ss/")),
        ("redis://runner:%C3%A4@h", ("redis", "h", 6379, "", 0, "runner", "\u00e4")),
        ("valkey://h", ("redis", "h", 6379, "", 0, "", "")),
        ("valkeys://h", ("rediss", "h", 6379, "", 0, "", "")),
        ("redis://runner@h", ("redis", "h", 6379, "", 0, "runner", "")),
        ("unix:///run/redis/redis.sock?db=1", ("unix", "", 6379, "/run/redis/redis.sock", 1, "", "")),
        ("unix:///a%20b", ("unix", "", 6379, "/a b", 0, "", "")),
    ],
)
def test_url_has_these_parts(url: str, parts: tuple[object, ...]) -> None:
    assert read_cache_url(url)[:7] == parts


def test_url_names_certificates_as_redis_py_does() -> None:
    address = read_cache_url("rediss://h?ssl_ca_certs=/ca.pem&ssl_certfile=c.pem&ssl_keyfile=k.pem")
    assert (address.authorities, address.certificate, address.key) == ("/ca.pem", "c.pem", "k.pem")


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("", "names no Redis or Valkey server"),
        ("cache.bank.internal", "names no Redis or Valkey server"),
        ("http://cache", "begins with 'http'"),
        ("redis://", "names no host"),
        ("redis://h:70000", "is no URL"),
        ("redis://h:x", "is no URL"),
        ("redis://h/x", "names no database"),
        ("redis://h/1/2", "names no database"),
        ("redis://h/99999", "names no database"),
        ("redis://h?ssl_cert_reqs=none", "ssl_cert_reqs"),
        ("rediss://h?ssl_keyfile=k", "ssl_keyfile without ssl_certfile"),
        ("redis://h?ssl_ca_certs=k", "uses no TLS"),
        ("redis://h?db", "is no URL"),
        ("redis://h#x", "fragment"),
        ("redis://h/0#", "fragment"),
        ("redis://h/10001", "names no database"),
        ("redis://h:0x", "is no URL"),
        ("redis://h ", "it ends with a blank"),
        ("redis://a,b", "names no host"),
        ("redis://b\u00fccher", "names no host"),
        ("unix://run/redis.sock", "a third /"),
        ("unix:///", "names no Unix socket"),
        ("unix:///a%0Ab", "names no Unix socket"),
        ("unix:run", "names no"),
    ],
)
def test_faults_are_named(url: str, fault: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_cache_url(url)
    assert fault in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        *(
            "redis://:hunter2/@h",
            "redis://:hunter2#@h",
            "redis://:1?hunter2@h",
            "redis://:1?hunter2=x@h",
            "redis://u:1?hunter=x@h",
            "redis://:hunter2?@h",
            "redis://:hunter2:@h/x",
        ),
        *(
            "redis://hunter2@[h",
            "http://:hunter2@h",
            "redis://u:hunter2@h/x",
            "redis://u:hunter2@h?db=x",
            "unix://u:hunter2@h",
        ),
    ],
)
def test_no_message_shows_a_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_cache_url(url)
    words = caught.value.words()
    assert "hunter" not in f"{words} {caught.value!r}"


def test_password_has_no_place_where_others_read_it() -> None:
    check_cache_url("rediss://runner@cache")
    with pytest.raises(ConfigurationError, match="has a password in it") as caught:
        check_cache_url("rediss://runner:hunter2@cache")
    assert "hunter2" not in str(caught.value.words())


def test_password_in_a_profile_is_a_fault_of_it() -> None:
    fault = find_fault({"cache_url": "rediss://runner:hunter2@cache"})
    assert fault is not None
    assert "has a password in it" in fault.message
    assert "hunter2" not in f"{fault}"


def test_address_shows_no_password() -> None:
    address = read_cache_url("rediss://runner:hunter2@cache:1/2")
    assert repr(address) == "CacheAddress('rediss://cache:1')"
    assert f"{address}" == repr(address)
