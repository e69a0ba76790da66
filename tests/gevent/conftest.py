"""What only tests of gevent get; they are skipped where it is missing."""

import pytest
from harness.internals import paused_calls
from harness.runtimes import installed
from harness.waiting import until

if not installed("gevent"):
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(autouse=True)
def hub(nothing_left):
    """The hub of the main thread, which goes with the test."""
    import gevent

    hub = gevent.get_hub()
    yield hub
    gevent.sleep(0.001)  # libev's default loop, which comes again, counts what was not called
    hub.destroy(destroy_loop=True)


@pytest.fixture
def paused():
    """Lets greenlets run until so many calls are paused in a socket."""
    import gevent

    def paused(zsock, count=1):
        until(lambda: paused_calls(zsock) == count, turn=lambda: gevent.sleep(0.0005))

    return paused
