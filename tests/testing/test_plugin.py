"""The fixtures, in test files of users': what they give, and what `ratchet_no_leaks` says."""

import contextlib
import re
import subprocess
import sys
import textwrap

import pytest
import trio  # noqa: F401 - as below

import ratchet.anyio  # here, since the runs below forget what they import first
import ratchet.asyncio
import ratchet.testing
import ratchet.testing.fixtures
import ratchet.trio
from ratchet import zmqsocket
from ratchet.testing import no_leaks

pytest_plugins = ["pytester", "ratchet.testing"]

HEAD = """
import pytest
from ratchet import zmqsocket
"""


@pytest.fixture
def users(pytester):
    """Runs a test file of a user's; returns the outcomes of its tests by number, and its output."""
    pytester.makeconftest("pytest_plugins = ['ratchet.testing']")

    def users(text, *args):
        pytester.makepyfile(HEAD + textwrap.dedent(text))
        unused = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
        result = pytester.runpytest_inprocess(*unused, *args)
        return result.parseoutcomes(), result.stdout.str()

    return users


def test_the_fixtures_work_for_users(users):
    outcomes, said = users(
        """
        def echo(zsock):
            for data in zsock:
                zsock.send(data)

        def test_pair(ratchet_pair, ratchet_no_leaks):
            push, pull = ratchet_pair("PUSH", "PULL")
            push.send(b"x")
            assert pull.recv_all() == b"x"

        @pytest.mark.anyio
        async def test_tasks(ratchet_pair, ratchet_line, ratchet_no_leaks):
            push, pull = ratchet_pair("PUSH", "PULL", transport="tcp")
            line = ratchet_line(push.last_endpoint)
            pull.connect(line.endpoint)
            await push.send(b"x")
            assert await pull.recv_all() == b"x"
            with pytest.raises(TimeoutError):
                await pull.recv(timeout=0.01)  # what watches stays until the end

        def test_peer(ratchet_peer, ratchet_line, ratchet_endpoint):
            endpoint = ratchet_endpoint()
            assert ratchet_endpoint("inproc") != ratchet_endpoint("inproc")
            with zmqsocket.new("REQ") as req:
                line = ratchet_line(endpoint)
                req.connect(line.endpoint)
                line.to_server.drop()
                peer = ratchet_peer(echo, "REP", bind=endpoint)
                assert req.request(b"x", timeout=1, retries=5) == b"x"

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        def test_trio(ratchet_pair, ratchet_no_leaks):
            import trio

            async def main():
                push, pull = ratchet_pair("PUSH", "PULL")
                await push.send(b"x")
                assert await pull.recv_all() == b"x"
                with trio.move_on_after(0.01):
                    await pull.recv()

            trio.run(main)
        """
    )
    assert outcomes == {"passed": 4}, said


def test_a_leak_fails_with_its_place(users):
    outcomes, said = users(
        """
        kept = []

        @pytest.fixture
        def pull():
            kept.append(zmqsocket.new("PULL"))  # made before the check begins, and so none of its
            yield kept[-1]

        @pytest.fixture(scope="module")
        def long_lived():
            with zmqsocket.new("PULL") as pull:
                yield pull

        pytestmark = pytest.mark.usefixtures("ratchet_no_leaks")

        def test_leaks(long_lived):
            kept.append(zmqsocket.new("PUSH"))

        def test_closes(long_lived):
            with zmqsocket.new("PUSH"):
                pass

        def test_fails():
            kept.append(zmqsocket.new("PUSH"))
            assert False

        def test_is_clean_again():
            assert [zsock.closed for zsock in kept] == [True, True]
        """
    )
    assert outcomes == {"passed": 3, "failed": 1, "errors": 1}, said
    assert re.search(r"1 socket\(s\) left open:\n.*PUSH socket, open.*made at \S+\.py:19\n", said)
    assert "ERROR at teardown of test_leaks" in said


def test_the_order_of_fixtures_does_not_matter(users):
    outcomes, said = users(
        """
        def test_first(ratchet_no_leaks, ratchet_pair):
            ratchet_pair()

        def test_last(ratchet_pair, ratchet_no_leaks):
            ratchet_pair()
        """
    )
    assert outcomes == {"passed": 2}, said


def test_a_peer_that_fails_fails_the_test(users):
    outcomes, said = users(
        """
        def test_peer(ratchet_peer):
            peer = ratchet_peer("print('before')\\n1 / 0")
            while peer.running:
                pass
        """
    )
    assert outcomes == {"passed": 1, "errors": 1}, said
    assert "ZeroDivisionError" in said
    assert "before" in said


def test_no_leaks_by_itself():
    left = []
    twice = r"(?s)2 socket.*test_plugin.py:\d+.*test_plugin.py:\d+"
    with pytest.raises(AssertionError, match=twice), no_leaks():
        left += [zmqsocket.new("PULL"), ratchet.asyncio.new("PULL")]
    assert all(zsock.closed for zsock in left)
    with contextlib.suppress(LookupError), no_leaks():
        left = zmqsocket.new("PULL")
        raise LookupError
    assert left.closed
    with no_leaks(), no_leaks(), zmqsocket.new("PULL"):
        pass
    assert not hasattr(zmqsocket.ZMQSocket.__init__, "__wrapped__")


def test_nobody_else_imports_pytest():
    program = "import sys, ratchet.testing, ratchet; print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.split() == [b"False"]
    program = "import sys, ratchet; print('ratchet.testing' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.split() == [b"False"]
