"""``ratchet request``: a question out, its answer back, again if none comes."""

import signal

import pytest

FREE = "req:tcp://127.0.0.1:*"


def test_an_answer(command, peer):
    request = command("request", FREE, "hello")
    rep = peer("REP", connect=request.bound())
    assert rep.recv() == b"hello"
    rep.send_multipart([b"one", b"t\nwo"])
    assert request.end() == (0, b"one\tt\\nwo\n", "")


@pytest.mark.parametrize(
    ("words", "question"),
    [
        (["URI", "--timeout", "20", "hello"], b"hello"),
        (["--timeout", "20", "URI", "hello"], b"hello"),
        (["URI", "--timeout", "20", "--", "-x"], b"-x"),
        (["--timeout=20", "--", "URI", "-x"], b"-x"),
        (["URI", "", "--timeout", "20"], b""),
    ],
)
def test_the_question_stands_anywhere(command, peer, ipc, words, question):
    rep = peer("REP", bind=ipc)
    request = command("request", *[f"req:{ipc}" if word == "URI" else word for word in words])
    assert rep.recv() == question
    rep.send(b"yes")
    assert request.end() == (0, b"yes\n", "")


@pytest.mark.parametrize(
    ("how", "data", "question", "shown"),
    [
        ("text", b"two\nlines\n", [b"two\nlines\n"], b"a\tb\n"),
        ("raw", b"\xff\n", [b"\xff\n"], b"ab"),
        ("hex", b"00 ff\n", [b"\x00", b"\xff"], b"61 62\n"),
        ("json", b'{"parts": ["x", "y"]}\n', [b"x", b"y"], b'{"parts": ["a", "b"]}\n'),
    ],
)
def test_formats(command, peer, ipc, how, data, question, shown):
    rep = peer("REP", bind=ipc)
    request = command("request", f"req:{ipc}", "--format", how, stdin=-1)
    request.process.stdin.write(data)
    request.process.stdin.close()
    request.process.stdin = None
    assert rep.recv_multipart() == question
    rep.send_multipart([b"a", b"b"])
    assert request.end() == (0, shown, "")


def test_retries(command, peer, ipc):
    """A ROUTER, for a REP would have to answer the first before it sees the second."""
    router = peer("ROUTER", bind=ipc)
    request = command("request", f"req:{ipc}", "hello", "--timeout", "0.5", "--retries", "20")
    first = router.recv_multipart()
    second = router.recv_multipart()
    assert (first[0], first[-1]) == (second[0], b"hello")
    router.send_multipart([*second[:-1], b"right"])
    while request.process.poll() is None:  # it may have asked again before that was there
        if router.poll(20):
            router.send_multipart([*router.recv_multipart()[:-1], b"right"])
    assert request.end() == (0, b"right\n", "")


def test_nobody_answers(run, ipc):
    result = run("request", f"req:{ipc}", "hello", "--timeout", "0.1", "--retries", "2")
    assert (result.status, result.out) == (124, b"")
    assert result.err.startswith("ratchet request: ")
    assert result.err.count("\n") == 1


def test_ctrl_c(command):
    request = command("request", FREE, "hello")
    request.bound()
    request.interrupt()
    assert request.end() == (-signal.SIGINT, b"", "")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["rep:tcp://*:1", "x"], "a question goes out over a REQ, not over a REP"),
        (["req:tcp://*:1", "x", "--retries", "1"], "--retries needs --timeout"),
        (["req:tcp://*:1", "x", "y"], "unrecognized arguments: y"),
        (["req:tcp://*:1", "x", "--timeout", "1", "y"], "unrecognized arguments: y"),
    ],
)
def test_what_cannot_be_meant(main, args, words):
    result = main("request", *args)
    assert (result.status, result.out) == (2, "")
    assert words in result.err
    assert result.err.count("\n") == 1
