"""Waiting by pyzmq's API: pollers, select, descriptors."""

import os
import socket
import threading
import time

import pytest
import zmq


def test_poll_of_one(link):
    left, right = link(zmq.PAIR, zmq.PAIR)
    assert right.poll(10) == 0
    left.send(b"x")
    assert right.poll(10_000) == zmq.POLLIN
    assert right.poll(10_000, zmq.POLLIN | zmq.POLLOUT) == zmq.POLLIN | zmq.POLLOUT
    assert right.recv() == b"x"
    assert right.poll(0) == 0


def test_a_poller_of_many(link):
    pairs = [link(zmq.PUSH, zmq.PULL) for _ in range(70)]  # more than fit on the stack
    read, write = os.pipe()
    poller = zmq.Poller()
    for left, right in pairs:
        poller.register(right, zmq.POLLIN)
        poller.register(left, 0)
    poller.register(read, zmq.POLLIN)
    assert poller.poll(0) == []
    began = time.monotonic()
    assert poller.poll(30) == []
    assert time.monotonic() - began >= 0.029
    pairs[5][0].send(b"x")
    assert poller.poll(10_000) == [(pairs[5][1], zmq.POLLIN)]
    os.write(write, b"y")
    assert dict(poller.poll(10_000)) == {pairs[5][1]: zmq.POLLIN, read: zmq.POLLIN}
    os.close(write)
    os.close(read)


def test_a_poll_wakes_when_it_comes(link):
    left, right = link(zmq.PUSH, zmq.PULL)
    other, _ = link(zmq.PULL, zmq.PUSH)
    poller = zmq.Poller()
    poller.register(right)
    poller.register(other)
    timer = threading.Timer(0.05, left.send, [b"late"])
    timer.start()
    assert poller.poll(10_000) == [(right, zmq.POLLIN)]
    timer.join()


def test_select_of_sockets_and_files(link):
    left, right = link(zmq.PAIR, zmq.PAIR)
    one, two = socket.socketpair()
    with one, two:
        one.send(b"x")
        left.send(b"y")
        assert right.poll(10_000)
        reads, writes, errors = zmq.select([right, two], [left, one], [], 1)
        assert set(reads) == {right, two.fileno()}
        assert set(writes) == {left, one.fileno()}
        assert errors == []


def test_what_cannot_be_waited_for():
    poller = zmq.Poller()
    poller.register("text", zmq.POLLIN)
    with pytest.raises(TypeError):
        poller.poll(0)
    assert zmq.Poller().poll(0) == []


def test_a_file_that_is_closed_is_never_ready(link):
    """Its descriptor is -1, which poll(2) passes over."""
    left, right = link(zmq.PAIR, zmq.PAIR)
    one, two = socket.socketpair()
    with one, two:
        poller = zmq.Poller()
        poller.register(one, zmq.POLLIN)
        one.close()
        began = time.monotonic()
        assert poller.poll(30) == []
        assert time.monotonic() - began >= 0.029
        poller.register(right, zmq.POLLIN)
        assert poller.poll(0) == []
        left.send(b"x")
        assert poller.poll(10_000) == [(right, zmq.POLLIN)]


def test_the_descriptor_tells_to_ask_for_events(link):
    left, right = link(zmq.PAIR, zmq.PAIR)
    assert right.fileno() == right.FD
    right.get(zmq.EVENTS)
    left.send_multipart([b"a", b"b"])
    import select

    while not right.get(zmq.EVENTS) & zmq.POLLIN:
        assert select.select([right.FD], [], [], 10)[0]
    assert right.recv() == b"a"
    assert right.get(zmq.EVENTS) & zmq.POLLIN
    assert right.recv() == b"b"
    assert not right.get(zmq.EVENTS) & zmq.POLLIN
