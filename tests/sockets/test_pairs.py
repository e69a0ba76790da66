"""Pairs and bytes that are received are as any others, although the ones returned last are used
again."""

import gc
import sysconfig
import tracemalloc

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


def test_bytes_that_are_used_again_have_all_of_the_message(inproc):
    """Each length more often than bytes are remembered, and no two messages alike in any place."""
    with zmqsocket.new("PUSH") as push, zmqsocket.new("PULL") as pull:
        push.bind(inproc)
        pull.connect(inproc)
        for length in range(71):
            for turn in range(20):
                message = bytes((7 * at + turn) % 251 for at in range(length))
                push.send(message)
                assert pull.recv_all() == message
                push.send(message[::-1])
                assert pull.recv() == (message[::-1], False)


RECEIVING = ("recv", "recv_all", "recv_multipart", "recv_many", "iteration")


async def received(zsock, way):
    """Receive one message of one part in one of the ways; its bytes."""
    match way:
        case "recv":
            return (await zsock.recv())[0]
        case "recv_all":
            return await zsock.recv_all()
        case "recv_multipart":
            return (await zsock.recv_multipart())[0]
        case "recv_many":
            return (await zsock.recv_many(1))[0]
        case _:
            return await anext(aiter(zsock))


@pytest.mark.parametrize("size", [16, 1000])
@pytest.mark.parametrize("way", RECEIVING)
@behaviour
async def test_what_is_kept_stays_what_it_is(rt, inproc, way, size):
    """Each message is kept for another while, by itself, in a list, as a key or in a view."""
    push, pull = await rt.link("PUSH", "PULL", inproc)
    kept, keys, views = [], {}, []
    for number in range(200):
        sent = b"%0*d" % (size, number)
        await push.send(sent)
        data = await received(pull, way)
        assert data == sent
        if number % 3 == 0:
            kept.append((sent, data))
        elif number % 3 == 1:
            keys[data] = sent
        else:
            views.append((sent, memoryview(data)))
        del data
        if number % 40 == 0:
            kept.clear()
    for sent, data in [*kept, *keys.items(), *views]:
        assert data == sent


@pytest.mark.parametrize("size", [8, 1000])
@pytest.mark.parametrize("way", RECEIVING)
@behaviour
async def test_bytes_are_hashed_by_what_is_in_them(rt, inproc, way, size):
    """Bytes remember their hash; those that are used again must forget it."""
    push, pull = await rt.link("PUSH", "PULL", inproc)
    names = {b"%0*d" % (size, number): number for number in range(50)}
    for _ in range(4):
        for name, number in names.items():
            await push.send(name)
            assert names[await received(pull, way)] == number


@pytest.mark.parametrize("size", [0, 1, 16, 33, 34, 4095, 4096, 200_000])
@pytest.mark.parametrize("count", [1, 2, 3, 16, 17, 40])
def test_every_number_of_parts_is_a_list_of_its_own(inproc, count, size):
    """What a program does to a list that it got changes no other."""
    with zmqsocket.new("PUSH") as push, zmqsocket.new("PULL") as pull:
        push.bind(inproc)
        pull.connect(inproc)
        for kind in (list, tuple, iter):
            before = None
            for fill in (b"a", b"b", b"c"):
                parts = [fill * (size + place % 2) for place in range(count)]
                push.send_multipart(kind(parts))
                found = pull.recv_multipart()
                assert type(found) is list
                assert found == parts
                assert found is not before
                before = found
                found[0] = None
                found.append(fill)


@pytest.mark.parametrize("size", [16, 479, 480, 1000, 4095, 4096])
@behaviour
async def test_batches_that_are_kept_stay_what_they_are(rt, inproc, size):
    """Some lists are dropped, of some one message is kept; none is as long as the one before."""
    push, pull = await rt.link("PUSH", "PULL", inproc, {"sndhwm": 0}, {"rcvhwm": 0})
    kept, number = [], 0
    for turn in range(60):
        sent = [b"%0*d" % (size, number + i) for i in range(1 + turn * 7 % 90)]
        number += len(sent)
        await push.send_many(sent)
        found = []
        while len(found) < len(sent):
            found += await pull.recv_many(1000)
        assert found == sent
        if turn % 3 == 0:
            kept.append((sent, found))
        elif turn % 3 == 1:
            kept.append((sent[-1:], [found[-1]]))
    for sent, found in kept:
        assert found == sent


def test_a_list_of_many_is_as_any_other(inproc):
    """It has room for as many as the last one, and grows and shrinks like all lists."""
    with zmqsocket.new("PUSH", sndhwm=0) as push, zmqsocket.new("PULL", rcvhwm=0) as pull:
        push.bind(inproc)
        pull.connect(inproc)
        for count in (1, 100, 1, 5000, 2, 3, 10_000, 1):
            sent = [b"%d" % number for number in range(count)]
            push.send_many(sent)
            found = pull.recv_many(count + 1)
            assert found == sent
            found.append(b"more")
            found.insert(0, b"first")
            assert found == [b"first", *sent, b"more"]
            del found[:-1]
            assert found == [b"more"]
            found.extend(sent)
            found.sort()
            assert len(found) == count + 1


needs_gil = pytest.mark.skipif(
    sysconfig.get_config_var("Py_GIL_DISABLED") == 1, reason="nothing is used again without the GIL"
)


def batch(push, pull, count, size, fill=b"x"):
    """Send so many messages, and receive them in one call."""
    push.send_many([fill * size] * count)
    return pull.recv_many(count)


@needs_gil
@pytest.mark.parametrize("count", [10, 300, 1000])
def test_bytes_of_a_batch_that_is_dropped_are_used_again(inproc, count):
    """However long it was, and the same few where few are received, which a cache can hold."""
    with zmqsocket.new("PUSH", sndhwm=0) as push, zmqsocket.new("PULL", rcvhwm=0) as pull:
        push.bind(inproc)
        pull.connect(inproc)
        places = {id(data) for data in batch(push, pull, count, 1000)}
        for fill in (b"a", b"b", b"c"):
            found = batch(push, pull, count, 1000, fill)
            assert {id(data) for data in found} == places
            assert found == [fill * 1000] * count
            del found


@needs_gil
def test_a_program_that_holds_a_batch_has_others_used_again(inproc):
    with zmqsocket.new("PUSH", sndhwm=0) as push, zmqsocket.new("PULL", rcvhwm=0) as pull:
        push.bind(inproc)
        pull.connect(inproc)
        places = set()
        found = None
        for _ in range(300):
            found = batch(push, pull, 10, 4000)  # the one before is dropped after the call
            places |= {id(data) for data in found}
        assert len(places) <= 270  # as many as a mebibyte holds, and those in the list


def test_what_is_remembered_of_batches_has_a_bound(inproc):
    with zmqsocket.new("PUSH", sndhwm=0) as push, zmqsocket.new("PULL", rcvhwm=0) as pull:
        push.bind(inproc)
        pull.connect(inproc)
        tracemalloc.start()
        try:
            for size in (480, 4095, 2000, 4000):
                assert len(batch(push, pull, 2000, size)) == 2000
                gc.collect()
                assert tracemalloc.get_traced_memory()[0] < 1_300_000, size
        finally:
            tracemalloc.stop()


def test_a_batch_keeps_nothing_that_a_sender_waits_for(inproc):
    """It is full before it has found that there are no more."""
    with zmqsocket.new("PUSH") as push, zmqsocket.new("PULL") as pull:
        push.bind(inproc)
        pull.connect(inproc)
        trackers = [push.send(bytes(1000), copy=False) for _ in range(3)]
        assert pull.recv_many(2) == [bytes(1000)] * 2
        assert [tracker.done for tracker in trackers] == [True, True, False]
        assert pull.recv_many(1) == [bytes(1000)]
        assert trackers[2].done
