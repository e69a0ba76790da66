"""The exceptions: their tree, codes, texts, pickling, and the table from errno to exception."""

import builtins
import copy
import errno
import os
import pickle
import re

import pytest

import ratchet
from ratchet import errors

PUBLIC = {
    "Error": OSError,
    "Timeout": TimeoutError,
    "ArgumentError": ValueError,
    "UriError": ValueError,
    "StateError": RuntimeError,
    "ClosedError": OSError,
    "ForkedError": RuntimeError,
    "DeadlockError": RuntimeError,
    "Alarm": OSError,
}
EFSM, ENOCOMPATPROTO, ETERM, EMTHREAD = range(156384763, 156384767)  # zmq.h


@pytest.mark.parametrize(("name", "builtin"), PUBLIC.items())
def test_each_is_an_error_and_has_its_builtin_base(name, builtin):
    kind = getattr(ratchet, name)
    assert kind is getattr(errors, name)
    assert issubclass(kind, ratchet.Error)
    assert issubclass(kind, builtin)
    assert kind.__doc__


def test_killed_is_no_exception_to_be_caught_by_accident():
    assert issubclass(ratchet.Killed, BaseException)
    assert not issubclass(ratchet.Killed, Exception)


def test_the_tree_in_the_docstring_is_the_tree():
    lines = re.findall(r"^ {4}( *)(?:└─ |├─ |│ {3}└─ )?(\w+)", errors.__doc__, re.MULTILINE)
    drawn = {name for _, name in lines}
    classes = {kind for kind in vars(errors).values() if isinstance(kind, type)}
    mine = {kind for kind in classes if issubclass(kind, BaseException)}
    assert {kind.__name__ for kind in mine} | {"OSError", "BaseException"} == drawn
    for kind in mine:
        for base in kind.__bases__:
            assert base in mine or base.__name__ in vars(builtins)


def test_disjoint():
    """What is caught as one is not another by accident."""
    for name in PUBLIC.keys() - {"Error", "ArgumentError", "UriError"}:
        for other in PUBLIC.keys() - {"Error", name}:
            assert not issubclass(getattr(errors, name), getattr(errors, other))
    assert not issubclass(ratchet.Timeout, ValueError | RuntimeError)


@pytest.mark.parametrize("name", PUBLIC)
def test_text_code_and_pickling(name):
    kind = getattr(errors, name)
    error = kind(errno.EADDRINUSE, "cannot do it; do that")
    assert type(error) is kind  # OSError makes another class of some errnos
    code = {"DeadlockError": "DEADLOCK", "Alarm": "ALARM"}.get(name, "EADDRINUSE")
    error.taken = 3
    for one in (error, pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(one) is kind
        assert (one.errno, one.code, one.taken) == (errno.EADDRINUSE, code, 3)
        assert one.strerror == "cannot do it; do that"
        assert str(one) == f"cannot do it; do that [{code}]"
        assert one.args == error.args
        assert name in repr(one)


@pytest.mark.parametrize("name", PUBLIC)
def test_made_by_hand(name):
    kind = getattr(errors, name)
    assert kind().taken == 0
    assert str(kind()) == ""
    assert str(kind("plain text")) == "plain text"
    assert isinstance(kind().code, str)


@pytest.mark.parametrize(
    ("number", "kind", "code", "remedy"),
    [
        (errno.EAGAIN, errors.Timeout, "ETIMEDOUT", ""),
        (errno.ETIMEDOUT, errors.Timeout, "ETIMEDOUT", ""),
        (errno.EINVAL, errors.ArgumentError, "EINVAL", "endpoint"),
        (errno.EPROTONOSUPPORT, errors.ArgumentError, "EPROTONOSUPPORT", "tcp://"),
        (ENOCOMPATPROTO, errors.ArgumentError, "ENOCOMPATPROTO", "transport"),
        (errno.ENAMETOOLONG, errors.ArgumentError, "ENAMETOOLONG", "107"),
        (errno.EADDRINUSE, errors.Error, "EADDRINUSE", "last_endpoint"),
        (errno.EADDRNOTAVAIL, errors.Error, "EADDRNOTAVAIL", "*"),
        (errno.ENODEV, errors.Error, "ENODEV", "*"),
        (errno.EACCES, errors.Error, "EACCES", "rights"),
        (errno.ENOENT, errors.Error, "ENOENT", "endpoint"),
        (errno.EHOSTUNREACH, errors.Error, "EHOSTUNREACH", "router_mandatory"),
        (errno.ENOTSUP, errors.Error, "ENOTSUP", ""),
        (errno.EMFILE, errors.Error, "EMFILE", "ulimit -n"),
        (errno.ENFILE, errors.Error, "ENFILE", "descriptors"),
        (EFSM, errors.StateError, "EFSM", "req_relaxed"),
        (ETERM, errors.ClosedError, "ETERM", "exiting"),
        (errno.ENOTSOCK, errors.ClosedError, "ENOTSOCK", "closed"),
        (EMTHREAD, errors.Error, "EMTHREAD", "configure"),
        (errno.EPIPE, errors.Error, "EPIPE", ""),
        (errno.EDEADLK, errors.Error, "EDEADLK", ""),  # Linux has EDEADLOCK for the same number
        (987654, errors.Error, "987654", ""),
    ],
)
def test_from_errno(number, kind, code, remedy):
    reason = os.strerror(number)
    error = errors.from_errno(number, "PULL socket: cannot bind to 'x'", reason)
    assert type(error) is kind
    assert error.code == code
    assert str(error).startswith(f"PULL socket: cannot bind to 'x': {reason}")
    assert remedy in str(error).removeprefix(f"PULL socket: cannot bind to 'x': {reason}")


def test_every_name_of_the_package_is_there():
    for name in [*ratchet.__all__, *errors.__all__]:
        assert hasattr(ratchet, name) or hasattr(errors, name)
    assert {*PUBLIC, "Killed"} <= set(ratchet.__all__)
