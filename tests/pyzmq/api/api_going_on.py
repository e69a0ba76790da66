"""When a task of zmq.asyncio goes on: in the turn in which the descriptor of its socket rings."""

import asyncio
import contextvars

import pytest
import zmq
import zmq.asyncio


@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def link():
    """Two connected sockets, the one of zmq.asyncio and a plain one."""
    context = zmq.Context()
    left = zmq.asyncio.Socket(context, zmq.PAIR)
    right = context.socket(zmq.PAIR)
    left.bind("inproc://link")
    right.connect("inproc://link")
    yield left, right
    left.close()
    right.close()
    context.term()


def one_turn(loop):
    loop.call_soon(loop.stop)
    loop.run_forever()


@pytest.mark.ratchet  # pyzmq's takes some turns more
def test_it_goes_on_in_the_turn_in_which_the_descriptor_rings(loop, link):
    left, right = link
    variable = contextvars.ContextVar("variable", default="another task's")
    context = contextvars.copy_context()
    context.run(variable.set, "its own")

    async def receive():
        return await left.recv(), variable.get()

    task = loop.create_task(receive(), context=context)
    one_turn(loop)
    right.send(b"message")
    one_turn(loop)
    assert task.done()
    assert task.result() == (b"message", "its own")
    assert variable.get() == "another task's"


def test_who_is_told_by_other_means_is_told_a_turn_later(loop, link):
    left, right = link
    told = []

    async def receive():
        left.recv().add_done_callback(told.append)
        return await asyncio.wait([left.recv()])

    task = loop.create_task(receive())
    one_turn(loop)
    right.send(b"1")
    right.send(b"2")
    one_turn(loop)
    assert told == []
    done, _ = loop.run_until_complete(asyncio.wait_for(task, 10))
    assert [future.result() for future in [*told, *done]] == [b"1", b"2"]


def test_an_exit_of_one_leaves_the_next_behind_for_a_turn_only(loop, link):
    left, right = link

    async def receive_and_exit():
        await left.recv()
        raise SystemExit

    async def receive():
        return await left.recv()

    leaving, staying = loop.create_task(receive_and_exit()), loop.create_task(receive())
    one_turn(loop)
    right.send(b"1")
    right.send(b"2")
    with pytest.raises(SystemExit):
        loop.run_until_complete(staying)
    assert loop.run_until_complete(asyncio.wait_for(staying, 10)) == b"2"
    with pytest.raises(SystemExit):
        leaving.result()
