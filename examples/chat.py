"""A chat over PUB and SUB: who hears nothing for a while is told so by a timeout.

Each member publishes on a socket of its own and subscribes to the room on those of all others.
"""

from ratchet import Timeout, run, thread, zmqsocket

MEMBERS = ["Ada", "Grace", "Edsger"]
QUIET = 0.2  # seconds without a word after which a member leaves


def listen(name, sub, heard):
    """Write down what is said, until the room has gone quiet."""
    sub.set_timeout(QUIET)
    try:
        for line in sub:
            heard.append((name, line.removeprefix(b"room: ").decode()))
    except Timeout:
        return f"{name} left"


def join(name, subscribers):
    """Open a member's PUB, and know when everybody else has subscribed to it."""
    pub = zmqsocket.new("XPUB", xpub_verbose=True)  # a PUB that hears who subscribes
    pub.bind(f"inproc://{name}")
    for sub in subscribers:
        sub.connect(f"inproc://{name}")
        pub.recv()
    return pub


def talk(name, pub):
    """Say two things; what is not said in the room, nobody hears."""
    for text in (f"{name} says hello", f"{name} says goodbye"):
        pub.send(f"room: {text}".encode())
        pub.send(f"whispered: {text}".encode())
        thread.timer(QUIET / 10)


def main():
    """Let them in, let them talk, and wait until all have left."""
    subs = {name: zmqsocket.new("SUB", subscribe=b"room: ") for name in MEMBERS}
    pubs = {
        name: join(name, [sub for other, sub in subs.items() if other != name]) for name in MEMBERS
    }
    heard = []
    listeners = [thread.attach(listen, name, sub, heard) for name, sub in subs.items()]
    for name, pub in pubs.items():
        thread.attach(talk, name, pub)
    left = [listener.result() for listener in listeners]
    for zsock in (*subs.values(), *pubs.values()):
        zsock.close()
    return heard, left


if __name__ == "__main__":
    heard, left = run(main)
    print(f"{len(heard)} lines heard; {', '.join(left)}")
