"""What a client hears of it that a server has refused it."""

import pytest
from harness.behaviour import behaviour
from harness.waiting import until

from ratchet import Timeout

LEARN = "Make the socket with track_peers=True to learn whether the server has refused it"


@behaviour
async def test_a_refused_clients_timeout_says_how_to_learn_why(rt, tcp, keys):
    server, alice, _, _, eve, _ = keys
    rep = rt.new("REP", curve=server, clients=[alice.public])
    rep.bind(tcp)
    security = {"curve": eve, "server": server.public, "linger": 0}
    req = rt.new("REQ", **security)
    req.connect(rep.last_endpoint)
    with pytest.raises(Timeout, match=LEARN):
        await req.request(b"x", timeout=0.05)
    dealer = rt.new("DEALER", **security)
    dealer.connect(rep.last_endpoint)
    for _ in range(2):  # the text is kept for the next one
        with pytest.raises(Timeout, match=LEARN):
            await dealer.recv(timeout=0)
    tracking, said = rt.new("REQ", **security, track_peers=True), ""
    tracking.connect(rep.last_endpoint)
    while "refused by the server: 400" not in said:
        with pytest.raises(Timeout) as caught:
            await tracking.request(b"x", timeout=0.05)
        said = str(caught.value)
        assert LEARN not in said


@pytest.mark.parametrize(
    ("options", "may_be_refused"),
    [({}, False), ({"plain_username": "alice", "plain_password": "sesame"}, True)],
)
def test_only_who_may_be_refused_is_told_how_to_learn_of_it(new, options, may_be_refused):
    with pytest.raises(Timeout) as caught:
        new("DEALER", **options).recv(timeout=0)
    assert (LEARN in str(caught.value)) is may_be_refused


def test_the_log_says_that_a_callable_returned_no_user_id(door, keys, told):
    server = door(clients=lambda *_: 3.5)
    assert server.knock(keys[1]) is None
    until(lambda: "<lambda> returned (float) is no user id: a str of 1 to 255 bytes" in told())
