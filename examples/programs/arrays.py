"""Numpy arrays between processes, without a copy in either program.

A message is a head, which says what the array is, and the array's own memory. The camera fills a
few arrays in turn; a `Tracker` says when libzmq has no more need of one. The viewer looks at each
picture where libzmq has received it. A camera that dies loses its last pictures, and none is torn.
"""

import json
import multiprocessing
import sys
import time

import numpy as np

from ratchet import zmqsocket

SHAPE = (1080, 1920, 3)  # a picture of full HD, 6.2 MB
PICTURES = 100
BUFFERS = 3  # one is filled while others are sent


def send_array(zsock, array):
    """Send an array's own memory; it may change again when the tracker that is returned is done."""
    head = json.dumps({"dtype": array.dtype.str, "shape": array.shape}).encode()
    return zsock.send_multipart([head, array], copy=False)


def recv_array(zsock, timeout=...):
    """Receive an array: a view of the memory that libzmq has received into, read-only."""
    head, body = zsock.recv_frames(timeout=timeout)
    what = json.loads(head.bytes)
    return np.frombuffer(body, what["dtype"]).reshape(what["shape"])


def camera(endpoint, count, first=0):
    """Send pictures; all points of each have the picture's number, modulo 256."""
    with zmqsocket.new("PUSH", sndhwm=2) as push:
        push.connect(endpoint)
        arrays = [np.empty(SHAPE, np.uint8) for _ in range(BUFFERS)]
        trackers = [None] * BUFFERS
        for number in range(first, first + count):
            turn = number % BUFFERS
            if trackers[turn] is not None:
                trackers[turn].wait()
            arrays[turn].fill(number % 256)
            trackers[turn] = send_array(push, arrays[turn])
        for tracker in trackers:
            if tracker is not None:
                tracker.wait()


def is_whole(picture):
    """Have all its points the same number? It looks at 1 of 1,000."""
    points = picture.reshape(-1)[::997]
    return bool((points == points[0]).all()) and picture.shape == SHAPE


def main():
    """Have another process send pictures; return how many were whole, and pictures a second."""
    with zmqsocket.new("PULL", rcvhwm=2) as pull:
        endpoint = pull.bind("tcp://127.0.0.1:*")
        sender = multiprocessing.get_context("spawn").Process(
            target=camera, args=[endpoint, PICTURES]
        )
        sender.start()
        whole = is_whole(recv_array(pull, timeout=30))  # the process has started
        began = time.perf_counter()
        for _ in range(PICTURES - 1):
            whole += is_whole(recv_array(pull, timeout=30))
        seconds = time.perf_counter() - began
        sender.join()
    return whole, (PICTURES - 1) / seconds


if __name__ == "__main__":
    whole, rate = main()
    size = np.prod(SHAPE) * rate / 1e9
    print(f"{whole} of {PICTURES} pictures whole; {rate:.0f} pictures/s, {size:.2f} GB/s")
    sys.exit(whole != PICTURES)
