"""A pipeline: a ventilator deals out work, workers do it, a sink adds up the results.

All three kinds are ratchet threads here. With tcp:// endpoints the same functions run in processes
of their own.
"""

from ratchet import run, thread, zmqsocket

NUMBERS = range(1, 1001)
WORKERS = 4


def ventilate(push):
    """One message for each number, then one for each worker that says there are no more."""
    for number in NUMBERS:
        push.send(b"%d" % number)
    push.send_many([b"end"] * WORKERS)


def work():
    """Square what comes."""
    with zmqsocket.new("PULL", rcvhwm=10) as pull, zmqsocket.new("PUSH") as push:
        pull.connect("inproc://work")
        push.connect("inproc://results")
        while (data := pull.recv_all()) != b"end":
            push.send(b"%d" % int(data) ** 2)
        push.send(b"end")


def collect(pull):
    """Add up until every worker has ended."""
    total = ended = 0
    while ended < WORKERS:
        data = pull.recv_all()
        if data == b"end":
            ended += 1
        else:
            total += int(data)
    return total


def main():
    """Bind both ends first, so that no worker is dealt more than its share."""
    with zmqsocket.new("PUSH") as push, zmqsocket.new("PULL") as pull:
        push.bind("inproc://work")
        pull.bind("inproc://results")
        sink = thread.attach(collect, pull)
        for _ in range(WORKERS):
            thread.attach(work)
        thread.timer(0)  # every worker connects, and is dealt the same number of messages
        thread.attach(ventilate, push)
        return sink.result()


if __name__ == "__main__":
    print(f"the squares of {len(NUMBERS)} numbers add up to {run(main)}")
