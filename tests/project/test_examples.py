"""Every example runs to its end by itself and prints what it says it does."""

import re
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SAYS = {
    "async_pipeline.py": r"2000 items doubled add up to 3998000; never more than .*",
    "async_service.py": r"100 right answers, some of them asked for again",
    "broker.py": r"60 of 60 answers came back through the broker",
    "chat.py": r"12 lines heard; Ada left, Grace left, Edsger left",
    "echo_server.py": r"3000 echoes for 1000 clients",
    "large_messages.py": r"8 pictures of 4 MiB, whole ones: \[0, 1, 2, 3, 4, 5, 6, 7\]",
    "pipeline.py": r"the squares of 1000 numbers add up to 333833500",
    "proxy.py": r"60 of 60 answers came back through the proxy",
    "publish_subscribe.py": (
        "oslo: oslo -3, oslo -4\nrome: rome 18\nall: oslo -3, rome 18, oslo -4, lima 22"
    ),
    "request_reply.py": r"3 clients, each with the sum 338350",
    "router_dealer.py": r"10 answers; the last question's is QUESTION 9",
    "supervisor.py": r"job 0 done, job 1 done, job 2 done; workers that crashed: 1, with \[3\]",
    "tcp_and_zmq.py": r"3 lines out, 3 messages back: ONE TWO THREE",
    "timed_server.py": r"4 reports of answers given; they only rise: True",
}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example(path, ahead):
    status, err, out = ahead.result(path)
    assert (status, err) == (0, "")
    assert re.fullmatch(SAYS[path.name] + "\n", out)


def test_no_example_is_missing():
    assert SAYS.keys() == {path.name for path in EXAMPLES.glob("*.py")}
