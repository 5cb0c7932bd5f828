"""The standard streams: what no stream can show is no failure."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from banno_creds.streams import is_broken_pipe

pytestmark = pytest.mark.once


def test_a_character_that_a_stream_lacks_is_written_as_an_escape() -> None:
    code = "from banno_creds.streams import make_alike; make_alike(); print('日\\udcff')"
    done = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-c", code],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    assert done.stdout.replace(b"\r", b"") == b"\\u65e5\\udcff\n"


def test_a_pipe_that_nobody_reads_is_told_from_other_faults() -> None:
    assert is_broken_pipe(BrokenPipeError(errno.EPIPE, ""), sys.stdout)
    assert not is_broken_pipe(OSError(errno.ENOSPC, ""), sys.stdout)
    assert not is_broken_pipe(ValueError(), sys.stdout)
