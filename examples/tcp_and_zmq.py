"""A plain TCP socket beside a ZeroMQ socket: one thread waits for both with `block_on`.

Lines from a TCP client are published as messages, and messages go back to it as lines.
"""

import socket

from ratchet import run, thread, zmqsocket

LINES = [b"one\n", b"two\n", b"three\n"]


def bridge(server, zsock):
    """Serve one TCP client until it hangs up; how much went each way."""
    thread.block_on([server])
    client, _ = server.accept()
    client.setblocking(False)
    buffer, counts = b"", [0, 0]
    with client:
        while True:
            ready = thread.block_on([client, zsock])
            if ready is zsock:
                thread.block_on([], [client])
                client.send(zsock.recv_all() + b"\n")  # short enough to go at once
                counts[1] += 1
            elif data := client.recv(4096):
                *lines, buffer = (buffer + data).split(b"\n")
                zsock.send_many(lines)
                counts[0] += len(lines)
            else:
                return counts


def answer(zsock):
    """The ZeroMQ side: send everything back in capitals."""
    for data in zsock:
        zsock.send(data.upper())


def talk(port):
    """The TCP side. It blocks, so it runs in an OS thread of its own, through `offload`."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"".join(LINES))
        with client.makefile("rb") as file:
            return [file.readline() for _ in LINES]


def main():
    """Both sides and the bridge between them."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        zmqsocket.new("PAIR") as left,
        zmqsocket.new("PAIR") as right,
    ):
        server.setblocking(False)
        left.bind("inproc://bridge")
        right.connect("inproc://bridge")
        bridged = thread.attach(bridge, server, left)
        thread.attach_background(answer, right)
        answers = thread.offload(talk, server.getsockname()[1])
        return answers, bridged.result()


if __name__ == "__main__":
    answers, (lines, messages) = run(main)
    text = b"".join(answers).decode().split()
    print(f"{lines} lines out, {messages} messages back: {' '.join(text)}")
