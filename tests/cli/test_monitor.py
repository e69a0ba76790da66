"""``ratchet monitor``: events as they happen, on both sides of a connection."""

import json
import re
import signal

import pytest


def test_a_peer_that_comes_and_goes(command, peer):
    monitor = command("monitor", "pull:tcp://127.0.0.1:*")
    endpoint = monitor.bound()
    assert re.fullmatch(rf"[\d:.]+  LISTENING            {endpoint}\n", monitor.line().decode())
    push = peer("PUSH", connect=endpoint)
    names = [monitor.line().decode().split()[1] for _ in range(2)]
    assert names == ["ACCEPTED", "HANDSHAKE_SUCCEEDED"]
    push.close()
    assert monitor.line().decode().split()[1] == "DISCONNECTED"
    monitor.interrupt()
    assert monitor.end() == (-signal.SIGINT, b"", "")


def test_for_programs(command, peer, ipc):
    peer("REP", bind=ipc)
    monitor = command("monitor", f"req:{ipc}", "--json", "--count", "2", "--event", "CONNECTED",
                      "--event", "handshake_succeeded")  # fmt: skip
    result = monitor.end()
    assert (result.status, result.err) == (0, "")
    events = [json.loads(line) for line in result.out.splitlines()]
    assert [event["name"] for event in events] == ["CONNECTED", "HANDSHAKE_SUCCEEDED"]
    assert [event["endpoint"] for event in events] == [ipc, ipc]
    assert [event["error"] for event in events] == [None, None]


def test_nobody_is_there(run):
    result = run("monitor", "sub:tcp://127.0.0.1:1", "--event", "CONNECT_RETRIED", "--count", "2")
    assert (result.status, result.err) == (0, "")
    line = r"[\d:.]+  CONNECT_RETRIED      tcp://127.0.0.1:1  in [\d.]+ s"
    assert re.fullmatch(f"({line}\n){{2}}", result.out.decode())


def test_a_time_limit(run):
    result = run("monitor", "sub:tcp://127.0.0.1:*", "--event", "ACCEPTED", "--timeout", "0.1")
    assert (result.status, result.out) == (124, b"")
    assert result.err.splitlines()[1:] == [
        "ratchet monitor: nothing happened within 0.1 s [ETIMEDOUT]"
    ]


def test_a_reader_that_has_had_enough(command):
    monitor = command("monitor", "pull:tcp://127.0.0.1:*")
    monitor.bound()
    assert b"LISTENING" in monitor.line()
    monitor.process.stdout.close()
    monitor.process.stdout = None
    assert monitor.process.wait(10) == 0
    assert monitor.process.stderr.read() == b""


def test_an_event_that_there_is_not(main):
    result = main("monitor", "sub:tcp://127.0.0.1:1", "--event", "BORED")
    assert (result.status, result.out) == (2, "")
    assert "there is no event 'BORED'" in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("args", [[], ["--json"]])
def test_ctrl_c(command, args):
    monitor = command("monitor", "sub:tcp://127.0.0.1:*", *args)
    monitor.bound()
    monitor.interrupt()
    assert monitor.end()[::2] == (-signal.SIGINT, "")
