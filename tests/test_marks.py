"""The marks for what a system lacks."""

from __future__ import annotations

import sys

import pytest

from tests.conftest import pytest_collection_modifyitems

pytestmark = pytest.mark.once


def _marked(request: pytest.FixtureRequest, mark: pytest.MarkDecorator) -> pytest.Function:
    item: pytest.Function = pytest.Function.from_parent(request.node.parent, name="test_of_it", callobj=lambda: None)
    item.add_marker(mark)
    return item


@pytest.mark.parametrize("name", ["posix", "no_wine"])
@pytest.mark.parametrize("reasons", [[], [""], [7], ["one", "two"]], ids=repr)
def test_mark_without_a_reason_is_refused(request: pytest.FixtureRequest, name: str, reasons: list[object]) -> None:
    item = _marked(request, getattr(pytest.mark, name).with_args(*reasons))
    with pytest.raises(pytest.UsageError, match=rf'test_of_it: write @pytest\.mark\.{name}\("the reason"\)'):
        pytest_collection_modifyitems([item])


def test_what_is_of_posix_is_left_out_on_windows_alone_and_says_why(request: pytest.FixtureRequest) -> None:
    item = _marked(request, pytest.mark.posix("a fork"))
    pytest_collection_modifyitems([item])
    reasons = [mark.kwargs["reason"] for mark in item.iter_markers("skip")]
    assert reasons == (["posix: a fork"] if sys.platform == "win32" else [])
