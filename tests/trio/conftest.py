"""What only tests of trio get; they are skipped where it is missing."""

import pytest
from harness.runtimes import installed
from harness.waiting import LONG

if not installed("trio"):
    collect_ignore_glob = ["test_*.py"]
if not installed("anyio"):
    collect_ignore = ["test_anyio.py"]


@pytest.fixture
def in_trio():
    """Runs ``await function(*args)`` in a run of trio's own; what hangs is an error."""
    import trio

    def run(function, *args):
        async def main():
            with trio.fail_after(LONG):
                return await function(*args)

        return trio.run(main)

    return run


@pytest.fixture
def make():
    """Makes sockets of trio, and closes them in the end."""
    from ratchet.trio import new

    made = []

    def make(type, **options):
        made.append(new(type, **options))
        return made[-1]

    yield make
    for zsock in made:
        zsock.close(linger=0)


@pytest.fixture
def pair(make, inproc):
    """A PULL and a PUSH, connected; trio's."""
    pull, push = make("PULL"), make("PUSH")
    pull.bind(inproc)
    push.connect(inproc)
    return pull, push
