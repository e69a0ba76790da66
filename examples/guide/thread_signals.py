"""Signals between threads: each tells the next one when it is ready, over a PAIR (ZeroMQ Guide,
chapter 2: mtrelay).
"""

import threading

from ratchet import zmqsocket


def step(number, log):
    """Wait for the step before this one, if there is one, and tell the next one."""
    if number > 1:
        with zmqsocket.new("PAIR") as before:
            before.bind(f"inproc://step-{number}")
            log.append(f"step {number} heard: {before.recv_all(timeout=10.0).decode()}")
    with zmqsocket.new("PAIR") as after:
        after.connect(f"inproc://step-{number + 1}")  # which need not be bound yet
        after.send(b"step %d is ready" % number)


def main():
    """Start the steps in the wrong order: it does not matter."""
    log = []
    with zmqsocket.new("PAIR") as last:
        last.bind("inproc://step-4")
        steps = [threading.Thread(target=step, args=[number, log]) for number in (3, 1, 2)]
        for thread in steps:
            thread.start()
        log.append(f"the end heard: {last.recv_all(timeout=10.0).decode()}")
    for thread in steps:
        thread.join()
    return log


if __name__ == "__main__":
    print(*main(), sep="\n")
