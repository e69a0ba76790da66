"""Freelance, by name: ask who lives (ZeroMQ Guide, chapter 4: flclient3, flcliapi, flserver3)."""

import threading
import time
from contextlib import suppress

from ratchet import ClosedError, Error, Timeout, zmqsocket

LASTS = 2.0  # seconds for which a server that was heard is thought to live


def serve(server, name):
    """A server: it answers pings as it answers questions."""
    with suppress(ClosedError):
        while True:
            *envelope, question = server.recv_multipart()
            server.send_multipart([*envelope, name + b" says " + question.upper()])


def ask(router, lives, number, text):
    """Ask a server that was heard lately; if none was, ping all and see who answers."""
    while True:
        living = [name for name, until in lives.items() if until > time.monotonic()]
        word, answered = number if living else b"ping", None
        for name in living[:1] or lives:
            with suppress(Error):  # it has gone
                router.send_multipart([name, word, text])
        try:
            while answered != word:
                name, answered, answer = router.recv_multipart(timeout=0.2)
                lives[name] = time.monotonic() + LASTS
        except Timeout:
            lives.update(dict.fromkeys(living[:1], 0.0))
        if answered == number:
            return answer


def main():
    """Half-way through, the server that is used dies."""
    servers, lives, answers = {}, {}, []
    with zmqsocket.new("ROUTER", linger=0) as router:
        for name in (b"Ada", b"Grace"):
            servers[name] = zmqsocket.new("ROUTER", router_mandatory=False)
            router.connect_routing_id = name  # of the next connection
            router.connect(servers[name].bind(f"inproc://{name.decode()}"))
            lives[name] = 0.0
            threading.Thread(target=serve, args=[servers[name], name]).start()
        for number in range(10):
            if number == 5:
                servers[answers[-1].split()[0]].close()
            answers.append(ask(router, lives, b"%d" % number, b"no %d" % number))
    for server in servers.values():
        server.close()
    return answers


if __name__ == "__main__":
    answers = main()
    print(f"{len(answers)} answers from {len({text.split()[0] for text in answers})} servers")
