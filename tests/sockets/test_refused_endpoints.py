"""An endpoint that can never come about is refused at bind or connect, with what to do instead."""

import _socket
import contextlib
import os
import socket
import stat
from pathlib import Path

import pytest

from ratchet import ArgumentError, Error, Timeout, has, libzmq_version, zmqsocket

LONG = 5.0  # seconds that nothing here takes unless it hangs
ARGUMENT_CODES = "EINVAL", "ENAMETOOLONG", "EPROTONOSUPPORT", "ENOCOMPATPROTO"  # ValueErrors
IPV6 = {"ipv6": True}


def _has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="no IPv6 here")
needs_files = pytest.mark.skipif(os.name == "nt", reason="the rules of Unix' files")


def refused(which, endpoint, match, *, code="EINVAL", **options):
    """Both kinds of socket refuse it, and stay as they were."""
    with zmqsocket.new("DEALER", **options) as zsock:
        before = repr(zsock), zsock.last_endpoint
        with pytest.raises(Error, match=match) as caught:
            getattr(zsock, which)(endpoint)
        assert caught.value.code == code
        assert isinstance(caught.value, ValueError) == (code in ARGUMENT_CODES)
        assert repr(endpoint) in str(caught.value)
        assert (repr(zsock), zsock.last_endpoint) == before


def passes(near, far):
    near.send(b"question", timeout=LONG)
    assert far.recv_all(timeout=LONG) == b"question"


# IPv6


@pytest.mark.parametrize("which", ["bind", "connect"])
@pytest.mark.parametrize(
    "endpoint",
    [
        *("tcp://[::1]:5555", "tcp://::1:5555", "tcp://[::]:5555", "tcp://[2001:db8::7]:5555"),
        *("tcp://[fe80::1%1]:5555", "tcp://[::1]:0;[::1]:5555", "tcp://127.0.0.1:0;[::1]:5555"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"ipv6": False}, {"ipv4only": True}])
def test_an_ipv6_address_needs_ipv6(which, endpoint, options):
    refused(which, endpoint, r"IPv6 address.*ipv6=True", **options)


def test_an_ipv6_source_needs_ipv6():
    refused("connect", "tcp://[::1]:0;127.0.0.1:5555", r"::1 is an IPv6 .*ipv6=True")


@needs_ipv6
@pytest.mark.parametrize("options", [{"ipv6": True}, {"ipv4only": False}])
@pytest.mark.parametrize("host", ["[::1]", "::1", "[::1%lo]", "[::ffff:127.0.0.1]", "127.0.0.1"])
def test_with_ipv6_it_works(options, host):
    if "%" in host and "lo" not in dict(socket.if_nameindex()).values():
        pytest.skip("no lo here")
    with zmqsocket.new("PULL", **options) as pull, zmqsocket.new("PUSH", **options) as push:
        port = pull.bind(f"tcp://{host}:*").rpartition(":")[2]
        push.connect(f"tcp://{host}:{port}")
        passes(push, pull)


@needs_ipv6
def test_ipv6_set_later(tcp):
    with zmqsocket.new("PULL") as pull, zmqsocket.new("PUSH") as push:
        for call in (pull.bind, push.connect):
            with pytest.raises(ArgumentError, match="ipv6=True"):
                call("tcp://[::1]:5555")
        pull.ipv6 = push.ipv6 = True
        push.connect(pull.bind("tcp://[::1]:*"))
        passes(push, pull)


def test_ipv4_inside_ipv6_is_the_systems_to_judge():
    """glibc gives out the IPv4 address within, and it works; where it does not, say so."""
    mapped = "::ffff:127.0.0.1"
    with zmqsocket.new("PULL") as pull, zmqsocket.new("PUSH") as push:
        try:
            socket.getaddrinfo(mapped, None, socket.AF_INET, flags=socket.AI_NUMERICHOST)
        except OSError:
            refused("bind", f"tcp://[{mapped}]:*", "ipv6=True")
            return
        port = pull.bind(f"tcp://[{mapped}]:*").rpartition(":")[2]
        push.connect(f"tcp://[{mapped}]:{port}")
        passes(push, pull)


@pytest.mark.parametrize("which", ["bind", "connect"])
@pytest.mark.parametrize(
    ("endpoint", "match"),
    [
        ("tcp://[::g]:5555", r"::g is no IPv6 address"),
        ("tcp://[::1]", r"port.*\[::1\]:1337"),
        ("tcp://[::1%]:5555", r"zone.*follows the %"),
        ("tcp://[fe80::1%nowhere0]:5555", r"no network interface has the name nowhere0"),
        ("tcp://256.1.1.1:5555", r"256\.1\.1\.1 is no IPv4 address"),
        ("tcp://1.2.3.4.5:5555", r"is no IPv4 address"),
        ("epgm://;;[ff02::1]:5555", r"groups of two kinds"),
        ("epgm://eth0;239.1.1.1;ff02::1:5555", r"groups of two kinds"),
        ("epgm://;[ff02::1];239.1.1.1:5555", r"groups of two kinds"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"ipv6": True}])
def test_what_is_no_address(which, endpoint, match, options):
    if "nowhere0" in endpoint and os.name == "nt":
        pytest.skip("interfaces have other names")
    refused(which, endpoint, match, **options)


# Hosts and ports


@pytest.mark.parametrize(
    ("endpoint", "match"),
    [
        ("tcp://*:5555", r"\* is for bind.*127\.0\.0\.1"),
        ("tcp://127.0.0.1:*", r"\* is for bind.*port"),
        ("tcp://127.0.0.1:0", r"port 0"),
        ("tcp://127.0.0.1:000", r"port 0"),
        ("ws://127.0.0.1:0", r"port 0"),
        ("ws://127.0.0.1:00/path", r"port 0"),
        ("tcp://:5555", r"no host"),
        ("tcp://ho st:5555", r"white space"),
        ("tcp://a*b:5555", r"letters"),
        ("tcp://a..b:5555", r"1 to 63"),
        ("tcp://" + "x" * 64 + ":5555", r"1 to 63"),
        ("tcp://" + "x." * 127 + "x:5555", r"at most 253 characters; this has 255"),
        ("tcp://bücher.example:5555", r"ASCII.*idna"),
        ("tcp://localhost:0;127.0.0.1:5555", r"source.*interface"),
        ("tcp://127.0.0.1;127.0.0.1:5555", r"source.*port"),
        ("tcp://127.0.0.1:x;127.0.0.1:5555", r"source.*port"),
        ("ipc://*", r"connect needs the path"),
    ],
)
def test_what_connect_can_never_reach(endpoint, match):
    if "localhost:0;" in endpoint and os.name == "nt":
        pytest.skip("interfaces have other names")
    refused("connect", endpoint, match)


@pytest.mark.parametrize("which", ["bind", "connect"])
@pytest.mark.parametrize(
    ("endpoint", "match"),
    [
        ("tcp://host:5555/path", r"no path"),
        ("tcp://127.0.0.1:5555 ", r"white space"),
        ("tcp://127.0.0.1:5555\n", r"strip\(\)"),
        ("inproc://name\r\n", r"strip\(\)"),
        ("ipc:///tmp/name\n", r"strip\(\)"),
        *(("tcp://127.0.0.1" + it, r"port") for it in ("", ":", ":port", ":-1", ":99999", ":!")),
        ("tcp://127.0.0.1:" + "9" * 5000, r"port"),
        ("ipc://@", r"name follows the @"),
        *(
            (it, r"TRANSPORT")
            for it in ("", "tcp", "tcp:/x", "tcp://", "://x", "inproc://", "ipc://")
        ),
        ("a\0b", r"NUL"),
    ],
)
def test_what_is_no_endpoint(which, endpoint, match):
    refused(which, endpoint, match)


@pytest.mark.parametrize("which", ["bind", "connect"])
@pytest.mark.parametrize(
    ("endpoint", "code"),
    [
        ("foo://x", "EPROTONOSUPPORT"),
        ("udp://127.0.0.1:5", "ENOCOMPATPROTO"),
        ("ipc:///" + "x" * 200, "ENAMETOOLONG"),
    ],
)
def test_what_libzmq_refuses(which, endpoint, code):
    refused(which, endpoint, ".", code=code)


@pytest.mark.parametrize(
    "endpoint",
    [
        *("tcp://localhost:5555", "tcp://localhost.:5555", "tcp://no-such_host.invalid:5555"),
        *("tcp://[127.0.0.1]:5555", "tcp://127.1:5555", "tcp://127.0.0.1:0;127.0.0.1:5555"),
        *("tcp://127.0.0.1:*;127.0.0.1:5555", "tcp://" + "x" * 63 + ".example:05555"),
    ],
)
def test_what_may_come_about_is_left_alone(endpoint):
    with zmqsocket.new("DEALER", linger=0) as zsock:
        assert zsock.connect(endpoint) is True


def test_an_inproc_name_may_be_long():
    with zmqsocket.new("PULL") as pull, zmqsocket.new("PUSH") as push:
        push.connect(pull.bind("inproc://" + "x" * 3000))
        passes(push, pull)


def test_bind_to_port_0_picks_one():
    with zmqsocket.new("PULL") as pull, zmqsocket.new("PUSH") as push:
        endpoint = pull.bind("tcp://127.0.0.1:0")
        assert int(endpoint.rpartition(":")[2]) > 0
        push.connect(endpoint)
        passes(push, pull)
    refused("bind", "tcp://127.0.0.1:00", r"\* or a single 0")


def test_bind_to_a_name():
    here = "|".join(name for _, name in socket.if_nameindex())
    refused("bind", "tcp://host.invalid:*", rf"interfaces here.*({here})", code="ENODEV")
    if libzmq_version() >= (4, 3, 5):
        with zmqsocket.new("PULL") as pull, zmqsocket.new("PUSH") as push:
            push.connect(pull.bind("tcp://localhost:*"))
            passes(push, pull)
        return
    refused("bind", "tcp://localhost:*", r"a host's name.*tcp://127\.0\.0\.1:\*", code="ENODEV")
    refused("bind", "tcp://localhost:80", r"tcp://127\.0\.0\.1:80", code="ENODEV")


@pytest.mark.skipif(os.name == "nt", reason="interfaces have other names")
def test_bind_takes_an_interface():
    if "lo" not in dict(socket.if_nameindex()).values():
        pytest.skip("no lo here")
    with zmqsocket.new("PULL") as pull, zmqsocket.new("PUSH") as push:
        push.connect("tcp://lo:0;" + pull.bind("tcp://lo:*").removeprefix("tcp://"))
        passes(push, pull)


@pytest.mark.skipif(not hasattr(socket, "SO_BINDTODEVICE"), reason="Linux alone has it")
@pytest.mark.parametrize("which", ["bind", "connect"])
def test_bindtodevice_of_an_unknown_interface(which):
    refused(
        which, "tcp://127.0.0.1:5555", r"bindtodevice.*'nowhere0'", code="ENODEV",
        bindtodevice="nowhere0",
    )  # fmt: skip
    with zmqsocket.new("PULL", bindtodevice="nowhere0") as zsock:
        zsock.bind("inproc://device")  # which has no interface
        zsock.bindtodevice = None
        zsock.bind("tcp://127.0.0.1:*")


def test_a_subclass_of_str_is_judged_by_its_text(tcp):
    class Endpoint(str):
        __slots__ = ()

        def startswith(self, *_):
            return True

    with pytest.raises(ArgumentError, match="ipv6=True"), zmqsocket.new("PULL") as zsock:
        zsock.bind(Endpoint("tcp://[::1]:5555"))


# ipc: nothing is removed that is not what a dead socket has left


def _listener(path, kind, *, listens):
    made = socket.socket(socket.AF_UNIX, kind)
    made.bind(str(path))
    if listens:
        made.listen()
    return made


def _make(path, what, closing):
    """Put something at a path; what has to be closed goes to `closing`."""
    if what == "a file":
        path.write_text("precious")
    elif what == "a directory":
        path.mkdir()
    elif what == "a named pipe":
        os.mkfifo(path)
    elif what == "a dangling link":
        path.symlink_to(path.with_name("nowhere"))
    elif what.startswith("a link to "):
        target = path.with_name("target")
        _make(target, what.removeprefix("a link to "), closing)
        path.symlink_to(target)
    else:
        kind = socket.SOCK_DGRAM if "datagram" in what else socket.SOCK_STREAM
        if "sequential" in what:
            kind = socket.SOCK_SEQPACKET
        listens = "datagram" not in what and "bound" not in what
        closing.enter_context(_listener(path, kind, listens=listens))


THERE = [
    *("a file", "a directory", "a named pipe", "a dangling link"),
    *("a link to a file", "a link to a stream socket", "a link to a datagram socket"),
    *("a stream socket", "a bound stream socket", "a datagram socket", "a sequential socket"),
]


@pytest.fixture
def there(ipc, request):
    """An ipc endpoint whose path is taken, which must stay as it is."""
    path = Path(ipc.removeprefix("ipc://"))
    with contextlib.ExitStack() as closing:
        try:
            _make(path, request.param, closing)
        except (OSError, AttributeError):
            pytest.skip(f"{request.param} cannot be made here")
        before = path.lstat()
        yield ipc
        after = path.lstat()
        assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
        if stat.S_ISREG(after.st_mode):
            assert path.read_text() == "precious"


@needs_files
@pytest.mark.parametrize("there", THERE, indirect=True)
def test_bind_replaces_nothing(there):
    refused("bind", there, r"there", code="EADDRINUSE")


@needs_files
@pytest.mark.parametrize(
    ("there", "match"),
    [
        ("a file", "a file is there"),
        ("a directory", "a directory is there"),
        ("a named pipe", "a named pipe is there"),
        ("a link to a file", "a file is there"),
        ("a datagram socket", "datagram"),
        ("a link to a datagram socket", "datagram"),
    ],
    indirect=["there"],
)
def test_connect_to_what_is_no_listener(there, match):
    refused("connect", there, match)


@needs_files
@pytest.mark.parametrize("kind", ["a stream socket", "a datagram socket"])
def test_bind_takes_over_what_a_dead_socket_left(ipc, kind):
    path = Path(ipc.removeprefix("ipc://"))
    with contextlib.ExitStack() as closing:
        _make(path, kind, closing)
    with zmqsocket.new("PULL") as pull, zmqsocket.new("PUSH") as push:
        push.connect(ipc)
        pull.bind(ipc)
        passes(push, pull)


@needs_files
def test_connect_through_a_link(ipc):
    path = Path(ipc.removeprefix("ipc://"))
    link = path.with_name("link")
    link.symlink_to(path)
    with zmqsocket.new("PULL") as pull, zmqsocket.new("PUSH") as push:
        push.connect(f"ipc://{link}")  # dangling still
        pull.bind(ipc)
        passes(push, pull)


@needs_files
def test_bind_asks_nobody_who_listens(ipc):
    """The question whether a path is taken is no connection that its listener would see."""
    path = ipc.removeprefix("ipc://")
    with _listener(path, socket.SOCK_STREAM, listens=True) as listener:
        refused("bind", ipc, r"listens there", code="EADDRINUSE")
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


@needs_files
def test_a_path_that_is_too_long_is_removed_by_nobody(ipc, monkeypatch):
    folder = Path(ipc.removeprefix("ipc://")).parent / ("x" * 60) / ("y" * 60)
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    with _listener("s", socket.SOCK_STREAM, listens=True):
        refused("bind", f"ipc://{folder}/s", r"too long", code="EADDRINUSE")
        assert Path("s").is_socket()
    refused("bind", f"ipc://{folder}/t", r"107 bytes", code="ENAMETOOLONG")


@needs_files
def test_an_abstract_name_removes_no_file(ipc, monkeypatch):
    folder = Path(ipc.removeprefix("ipc://")).parent
    monkeypatch.chdir(folder)
    name = f"@{folder.name}"
    Path(name).write_text("precious")
    refused("bind", f"ipc://{name}", r"would remove", code="EADDRINUSE")
    assert Path(name).read_text() == "precious"
    Path(name).unlink()
    with zmqsocket.new("PULL") as pull, zmqsocket.new("PUSH") as push:
        pull.bind(f"ipc://{name}")
        push.connect(f"ipc://{name}")
        passes(push, pull)


@needs_files
@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_socket_that_may_not_be_asked(ipc):
    path = Path(ipc.removeprefix("ipc://"))
    with _listener(path, socket.SOCK_STREAM, listens=True):
        path.chmod(0)
        refused("bind", ipc, r"may not write", code="EADDRINUSE")


@needs_files
def test_a_folder_that_is_missing(ipc):
    refused("bind", f"{ipc}/deeper/s", r"folder '.*deeper'.*make it", code="ENOENT")
    with zmqsocket.new("PULL") as pull, zmqsocket.new("PUSH") as push:
        push.connect(f"{ipc}/s")  # it may be made later
        Path(ipc.removeprefix("ipc://")).mkdir()
        pull.bind(f"{ipc}/s")
        passes(push, pull)


@needs_files
def test_a_listener_that_was_handed_over_keeps_its_path(ipc):
    path = ipc.removeprefix("ipc://")
    listener = _listener(path, socket.SOCK_STREAM, listens=True)
    with zmqsocket.new("PULL") as pull, zmqsocket.new("PUSH") as push:
        pull.use_fd = listener.fileno()
        pull.bind(ipc)
        listener.close()
        assert Path(path).is_socket()
        push.connect(ipc)
        passes(push, pull)


def test_the_transports_that_are_not_there():
    for transport in ("udp", "foo", "TCP", *(["ipc"] if not has("ipc") else [])):
        with zmqsocket.new("DEALER") as zsock, pytest.raises(ArgumentError, match=transport):
            zsock.bind(f"{transport}://127.0.0.1:5555")


# TIPC


@pytest.mark.skipif(not has("tipc"), reason="this libzmq has no TIPC")
@pytest.mark.parametrize("act", ["bind", "connect"])
def test_an_endpoint_of_tipc(monkeypatch, act):
    """libzmq says nothing of a malformed one: what an earlier call left was taken for its word."""

    class Fake:
        def __init__(self, *arguments):
            if not there:
                raise OSError(97, "Address family not supported by protocol")

        def close(self):
            pass

    monkeypatch.setattr(_socket, "socket", Fake)
    with zmqsocket.new("PULL") as zsock:
        for there in (False, True):
            with pytest.raises(Timeout):
                zsock.recv(timeout=0)  # leaves EAGAIN behind
            with pytest.raises(Error) as caught:
                getattr(zsock, act)("tipc://nowhere")
            assert isinstance(caught.value, ValueError)
            assert caught.value.code == ("EINVAL" if there else "EPROTONOSUPPORT")
            assert "tipc://nowhere" in str(caught.value)
