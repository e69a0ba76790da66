"""Random calls in every kind of thread, against a model that accounts for each message.

Each step starts a call in an OS thread, a ratchet thread or a task, and waits until it is over or
paused. So the model knows the order of the calls, and with it whose turn it is. Every message has a
number and is in one state:

    PENDING   its send is under way
    OWED      taken by a sender that lost no peer: a receiver must get it
    PERHAPS   taken, but its way was cut (a peer closed, a PUB): a receiver may get it
    UNSENT    its send said that it did not go
    RECEIVED

PENDING, OWED and PERHAPS are what may be received: once, whole, by a linked socket, and from a
sender that lost no peer in the order of the sends. OWED must be received while calls are paused at
every end of its sender's links, and in any case before the end. A sender with nothing OWED and a
live link has room, so no send of it may stay paused. "Must" means within LONG, which only a lost
wake-up or a lost message reaches. In the end every buffer that was lent is its owner's again.

XPUB, PUB, XSUB and SUB send to all: what is OWED is owed to each that is to have it, once. A
subscription is a message as well, owed to every XPUB, also to one that comes later. By it an XPUB
knows who gets what it sends, for each has subscribed to b"" before.

RATCHET_TORTURE=1 makes the runs many and long. A failure shows the seed, and how to repeat it.
"""

import pytest
from hypothesis import strategies as st
from promises.machine import HOST, NUMBER, RACE, RECEIVES, SENDS, SIZES, TIMEOUTS, Machine, play
from promises.model import PEERS, TORTURE

HWMS = st.sampled_from([1, 2, 5, 1000])
STEPS = {
    "new_two": (st.sampled_from(sorted(PEERS)), st.integers(0, 1), HWMS, HWMS),
    "link": (NUMBER, st.sampled_from(["inproc", "ipc", "tcp"]), st.booleans()),
    "bind": (NUMBER,),
    "send": (
        *(NUMBER, HOST, st.sampled_from(SENDS)),
        *(st.lists(SIZES, min_size=1, max_size=4), TIMEOUTS, RACE),
    ),
    "recv": (*(NUMBER, HOST, st.sampled_from(RECEIVES)), *(st.sampled_from([1, 2, 100]), TIMEOUTS)),
    "kill_or_cancel": (NUMBER,),
    "look": (NUMBER, st.sampled_from(["is_readable", "is_writable", "get_fd", "__repr__"])),
    "set_option": (NUMBER, st.sampled_from(["sndhwm", "rcvhwm", "linger", "tos", "sndbuf"])),
    "set_timeout": (NUMBER, st.sampled_from([None, 0.001])),
    "drain_all": (),
    "disconnect": (NUMBER, st.booleans()),
    "unbind": (NUMBER,),
    "close": (NUMBER, st.booleans()),
}


# How often each is tried, beside the others.
OFTEN = {"send": 10, "recv": 10, "link": 4, "new_two": 3, "look": 2, "kill_or_cancel": 2}


@pytest.mark.timeout(7200 if TORTURE else 60)
def test_every_message_is_accounted_for():
    play(Machine, ["", "inproc", "all"], STEPS, OFTEN)
