"""The patterns of the ZeroMQ Guide: each example does what it says, and the tables are true."""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guide-examples.md"
EXAMPLES = sorted((ROOT / "examples" / "guide").glob("*.py"))
SAYS = {
    "async_server.py": r"(30 answers, all that were due: True\n?){3}",
    "beacons.py": r"Ada sees: JOINED Edsger, JOINED Grace, LEFT Grace",
    "binary_star.py": r"primary, backup, backup",
    "black_box.py": r"each message was worked on once: True; the results are right: True",
    "clone.py": r"1 table in three clones",
    "clone_ephemeral.py": (
        r"the last of the worker: \[b'job 3', b''\]; left: \{b'/colour': b'blue'\}"
    ),
    "clone_failover.py": r"10 rows, the last one is /row/9",
    "clone_subtrees.py": (
        r"\{'/kitchen/light': 'on', '/kitchen/oven': 'on'\}\n"
        r"\{'/garden/light': 'on', '/kitchen/light': 'on', '/kitchen/oven': 'on'\}"
    ),
    "decentralized_chat.py": (
        r"Ada heard Edsger: hello, Grace: hello\nEdsger heard Ada: hello, Grace: hello\n"
        r"Grace heard Ada: hello, Edsger: hello"
    ),
    "envelopes.py": r"\[B\] We want to see this",
    "espresso.py": (
        r"seen: b'\\x01news', b'news 0' \.\.\. b'news 99'\n100 heard, 100 counted, all seen: True"
    ),
    "file_transfer.py": r"right files: 3 of 3",
    "freelance.py": r"10 answers, all right: True",
    "freelance_router.py": r"10 answers from 2 servers",
    "freelance_shotgun.py": r"10 answers, all right: True",
    "heartbeats.py": r"hello from 1 peer; it froze: DISCONNECTED, 0 peers",
    "hello_world.py": r"10 answers, the last one: World",
    "identities.py": r"\['00( [0-9a-f]{2}){4}', '', 'hello'\]\n\['PEER2', '', 'hello'\]",
    "inter_broker.py": r"2 done in oslo; 3 done in rome",
    "interrupt.py": r"interrupted after 1 request; the socket is closed: True",
    "kill_signal.py": r"the squares add up to 8555; 3 workers have ended",
    "last_value_cache.py": r"rome 18, oslo -4, oslo -4",
    "lazy_pirate.py": r"6 right answers, in \d+ lives of the server",
    "load_balancer.py": r"50 of 50 answers are right",
    "majordomo.py": r"no, N0, N1, N2, N3",
    "message_queue.py": (
        r"30 answers, the last one: REQUEST 29\n30 messages one way, 30 the other"
    ),
    "node_coordination.py": r"10 subscribers, each with 2000 to 2000 updates",
    "nobody_there.py": (
        r"no peer yet\nthe queues are full after \d+ messages\n"
        r"\d+ received, then: there is room again"
    ),
    "paranoid_pirate.py": r"all 12 answers are right: True",
    "peer_to_peer.py": (
        r"Edsger: hello, Ada\nGrace: hello, Ada\nAda: hello, Grace\nEdsger: hello, Grace\n"
        r"Ada: hello, Edsger\nGrace: hello, Edsger"
    ),
    "peering_state.py": (
        r"london knows \{'oslo': 0, 'rome': 5\}\noslo knows \{'london': 3, 'rome': 5\}\n"
        r"rome knows \{'london': 3, 'oslo': 0\}"
    ),
    "round_trips.py": r"2000 right answers; \d+ a second one by one, \d+ at once",
    "router_to_workers.py": r"6 workers did 60 jobs",
    "several_sockets.py": r"50 jobs and 50 reports of the weather",
    "simple_pirate.py": r"12 right answers, though two of three workers died",
    "suicidal_snail.py": r"one was too slow, and ended itself, one heard the last one",
    "thread_signals.py": (
        r"step 2 heard: step 1 is ready\nstep 3 heard: step 2 is ready\n"
        r"the end heard: step 3 is ready"
    ),
    "threaded_service.py": r"REQUEST 0, REQUEST 1, REQUEST 2, REQUEST 3",
    "titanic.py": r"request 1: HELLO",
    "ventilator.py": r"100 jobs, 400 ms of work, done in \d+ ms",
    "version.py": r"ratchet \S+ on libzmq 4 \d+ \d+\nCURVE: (True|False)",
    "weather_bridge.py": r"oslo -3, oslo -4; 2 messages went over the bridge",
    "weather_updates.py": r"5\.5 degrees on average in one place, 12\.5 in the other",
}
LINES = 60  # which none of them reaches
# The programs of the Guide, by chapter, in the order of its text.
PROGRAMS = {
    1: "hwserver hwclient version wuserver wuclient taskvent taskwork tasksink",
    2: "msreader mspoller rrclient rrworker rrbroker msgqueue wuproxy taskwork2 tasksink2"
    " interrupt mtserver mtrelay syncpub syncsub psenvpub psenvsub",
    3: "identity rtreq rtdealer lbbroker lbbroker2 lbbroker3 asyncsrv peering1 peering2 peering3",
    4: "lpclient lpserver spqueue spworker ppqueue ppworker mdclient mdcliapi mdworker mdwrkapi"
    " mdbroker mdcliapi2 mdclient2 tripping mmiecho ticlient titanic bstarsrv bstarcli bstarsrv2"
    " bstar flserver1 flclient1 flserver2 flclient2 flserver3 flclient3 flcliapi",
    5: "espresso pathopub pathosub lvcache suisnail clonesrv1 clonecli1 kvsimple clonesrv2"
    " clonecli2 clonesrv3 clonecli3 clonesrv4 clonecli4 kvmsg clonesrv5 clonesrv6 clonecli6 clone",
    7: "fileio1 fileio2 fileio3",
    8: "udpping1 udpping2 udpping3 interface eagain dechat",
}
POSIX = {
    "binary_star.py",
    "decentralized_chat.py",
    "heartbeats.py",
    "interrupt.py",
    "titanic.py",
}  # signals, or ipc


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example(path, ahead):
    if path.name in POSIX and sys.platform == "win32":
        pytest.skip("Windows has no such signals, and its libzmq mostly no ipc")
    status, err, out = ahead.result(path)
    assert (status, err) == (0, "")
    assert re.fullmatch(SAYS[path.name] + "\n", out)


def test_no_example_is_missing():
    assert SAYS.keys() == {path.name for path in EXAMPLES}


def rows():
    """Of each row of the tables its chapter, the Guide's programs, the file here, its lines."""
    found = []
    for section in PAGE.read_text(encoding="utf-8").split("\n## Chapter ")[1:]:
        for row in re.findall(r"^\| (.+) \|$", section, re.MULTILINE)[2:]:
            programs, here, lines, _ = (cell.strip() for cell in row.split("|"))
            link = re.fullmatch(r"\[(\w+\.py)\]\(\.\./examples/guide/\1\)", here)
            found.append((int(section[0]), programs.replace("`", ""), link and link[1], lines))
    return found


def test_the_tables_name_every_file_and_its_length():
    true = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in EXAMPLES}
    assert {name: int(lines) for _, _, name, lines in rows() if name} == true
    assert max(true.values()) < LINES


def test_the_tables_name_every_program_of_the_guide():
    for chapter, programs in PROGRAMS.items():
        told = ", ".join(names for number, names, _, _ in rows() if number == chapter)
        assert set(programs.split()) <= set(told.split(", ")), chapter


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_says_what_it_was_in_the_guide(path):
    doc = " ".join(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).split())
    named = re.search(r" \(ZeroMQ Guide, chapter (\d): (.+)\)\.$", doc)
    assert (int(named[1]), named[2], path.name) in [row[:3] for row in rows()]
