"""recv's pair is a tuple as any other, although the one returned last is used again."""

import pytest
from harness.behaviour import behaviour

from ratchet import zmqsocket


@behaviour
async def test_a_pair_is_hashed_by_what_is_in_it(rt, inproc):
    """A tuple remembers its hash from Python 3.14 on; one that is used again must forget it."""
    push, pull = await rt.link("PUSH", "PULL", inproc)
    acts = {(b"start", False): 1, (b"stop", False): 2, (b"pause", False): 3}
    for name, act in ((b"start", 1), (b"stop", 2), (b"pause", 3), (b"stop", 2), (b"start", 1)):
        await push.send(name)
        assert acts.get(await pull.recv()) == act
        await push.send(name)
        assert hash(await pull.recv()) == hash((name, False))
        await push.send(name)
        assert await pull.recv() in set(acts)
        await push.send(name)
        assert {await pull.recv(): act} == {(name, False): act}
    await push.send(b"none")
    assert await pull.recv() not in acts


@behaviour
async def test_pairs_in_a_set_stay_what_they_are(rt, inproc):
    push, pull = await rt.link("PUSH", "PULL", inproc)
    seen = set()
    for number in range(100):
        await push.send(b"%d" % (number % 7))
        pair = await pull.recv()
        hash(pair)
        if number % 3:
            seen.add(pair)
        del pair
    assert seen == {(b"%d" % number, False) for number in range(7)}
    assert all((b"%d" % number, False) in seen for number in range(7))


@pytest.mark.parametrize("size", [0, 1, 100, 4095, 4096, 200_000])
def test_every_size_and_every_way_to_receive(inproc, size):
    """Large data has a new pair each time; so has what comes in several parts."""
    with zmqsocket.new("PUSH") as push, zmqsocket.new("PULL") as pull:
        push.bind(inproc)
        pull.connect(inproc)
        for fill in (b"a", b"b", b"c"):
            for call in (pull.recv, lambda: pull.recv(timeout=0), lambda: pull.recv(timeout=5)):
                push.send(fill * size)
                assert hash(call()) == hash((fill * size, False))
            push.send_multipart([fill * size, fill])
            assert [hash(pull.recv()), hash(pull.recv())] == [
                hash((fill * size, True)),
                hash((fill, False)),
            ]
