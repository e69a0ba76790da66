"""pytest's fixtures over the rest of `ratchet.testing`; turned on by ``pytest_plugins``.

PYTEST_DONT_REWRITE: as in `ratchet.testing`.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from .endpoints import free_endpoint
from .leaks import left_open
from .line import Line
from .pairs import pair
from .peer import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

__all__ = [
    "ratchet_endpoint",
    "ratchet_line",
    "ratchet_no_leaks",
    "ratchet_pair",
    "ratchet_peer",
]

_failed: pytest.StashKey[bool] = pytest.StashKey()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
    call: pytest.CallInfo[None],  # noqa: ARG001 - pytest's
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note that a test has failed: what it leaves open then is no news."""
    report = yield
    if report.failed:
        item.stash[_failed] = True
    return report


@pytest.fixture
def _ratchet_guard(request: pytest.FixtureRequest) -> Iterator[None]:
    """Begin before, and end after, all that the other fixtures make for a test."""
    if "ratchet_no_leaks" not in request.fixturenames:
        yield
        return
    with left_open() as left:
        yield
    if left and not request.node.stash.get(_failed, False):
        pytest.fail(left[0], pytrace=False)


@pytest.fixture
def ratchet_no_leaks(_ratchet_guard: None) -> None:
    """Fail a test that leaves sockets open, with the line that made each; see `no_leaks`."""


@pytest.fixture
def ratchet_pair(_ratchet_guard: None) -> Iterator[Callable[..., tuple[Any, Any]]]:
    """Make two connected sockets, ``ratchet_pair("PUSH", "PULL")``; see `pair`."""
    with contextlib.ExitStack() as made:
        yield lambda *types, **options: made.enter_context(pair(*types, **options))


@pytest.fixture
def ratchet_endpoint(_ratchet_guard: None) -> Iterator[Callable[..., str]]:
    """Give an endpoint that nobody else has, ``ratchet_endpoint("ipc")``; see `free_endpoint`."""
    with contextlib.ExitStack() as made:
        yield lambda transport="tcp": made.enter_context(free_endpoint(transport))


@pytest.fixture
def ratchet_line(_ratchet_guard: None) -> Iterator[Callable[[str], Line]]:
    """Make a connection that can be disturbed, ``ratchet_line(pull.last_endpoint)``; see `Line`."""
    with contextlib.ExitStack() as made:
        yield lambda target: made.enter_context(Line(target))


@pytest.fixture
def ratchet_peer(_ratchet_guard: None) -> Iterator[Callable[..., Peer]]:
    """Start a peer in another process, ``ratchet_peer(work, "REP")``; see `Peer`."""
    with contextlib.ExitStack() as made:
        yield lambda *args, **options: made.enter_context(Peer(*args, **options))
