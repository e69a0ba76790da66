"""The command against programs in C on libzmq, compiled here; skipped without a compiler."""

import os
import shlex
import shutil
import subprocess

import pytest
from harness.waiting import LONG

PEER = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* peer push|pull|rep ENDPOINT: sends two messages, prints one, or answers one. */
int main(int argc, char **argv)
{
    void *context = zmq_ctx_new();
    int type = !strcmp(argv[1], "push") ? ZMQ_PUSH : !strcmp(argv[1], "pull") ? ZMQ_PULL : ZMQ_REP;
    void *s = zmq_socket(context, type);
    char text[256];
    int size;
    size_t length = sizeof text;
    if (type == ZMQ_PUSH) {
        if (zmq_connect(s, argv[2]))
            return 1;
        zmq_send(s, "one", 3, 0);
        zmq_send(s, "two", 3, ZMQ_SNDMORE);
        zmq_send(s, "parts", 5, 0);
    } else {
        if (zmq_bind(s, argv[2]) || zmq_getsockopt(s, ZMQ_LAST_ENDPOINT, text, &length))
            return 1;
        puts(text);
        fflush(stdout);
        size = zmq_recv(s, text, sizeof text, 0);
        if (size < 0)
            return 1;
        if (type == ZMQ_REP)
            zmq_send(s, text, size, 0);
        else
            printf("%.*s\n", size, text);
    }
    zmq_close(s);
    zmq_ctx_term(context);
    return 0;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The compiled program."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        pytest.skip("no C compiler here")
    folder = tmp_path_factory.mktemp("peer")
    source, made = folder / "peer.c", folder / "peer"
    source.write_text(PEER, encoding="ascii")
    done = subprocess.run(
        [*compiler, "-o", str(made), str(source), "-lzmq"], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("no libzmq to compile against where the compiler looks")
    return made


@pytest.fixture
def in_c(program):
    """Starts the program; it is ended with the test."""
    started = []

    def start(*args):
        started.append(subprocess.Popen([str(program), *args], stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_recv(command, in_c):
    recv = command("recv", "pull:tcp://127.0.0.1:*", "--count", "2")
    in_c("push", recv.bound())
    assert recv.end() == (0, b"one\ntwo\tparts\n", "")


def test_send(command, in_c):
    pull = in_c("pull", "tcp://127.0.0.1:*")
    at = pull.stdout.readline().strip("\0\n")
    assert command("send", f"push:{at}", "from the command").end() == (0, b"", "")
    assert pull.stdout.readline() == "from the command\n"
    assert pull.wait(LONG) == 0


def test_request(command, in_c):
    at = in_c("rep", "tcp://127.0.0.1:*").stdout.readline().strip("\0\n")
    assert command("request", f"req:{at}", "question").end() == (0, b"question\n", "")
