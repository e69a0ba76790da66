"""What `make lint` checks in typed_api.py is all that is public."""

import ast
from pathlib import Path

import pytest
from harness.internals import CALLS

import ratchet
import ratchet.anyio
import ratchet.asyncio
import ratchet.auth
import ratchet.testing
import ratchet.trio
from ratchet import errors, options, thread, zmqsocket

TYPED = Path(__file__).with_name("typed_api.py").read_text(encoding="utf-8")
NAMES = {node.attr for node in ast.walk(ast.parse(TYPED)) if isinstance(node, ast.Attribute)}
STUB = Path(ratchet.__file__).with_name("_zmq.pyi").read_text(encoding="utf-8")
MODULES = [
    ratchet,
    ratchet.anyio,
    ratchet.asyncio,
    ratchet.auth,
    ratchet.testing,
    ratchet.trio,
    errors,
    options,
    thread,
    zmqsocket,
]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_public_name_is_in_it(module):
    modules = {"errors", "options", "thread", "zmqsocket"}  # the last part of an import
    assert set(module.__all__) - NAMES - modules == set()


@pytest.mark.parametrize("kind", [ratchet.Ratchet, ratchet.asyncio.Shared])
def test_every_method_is_in_it(kind):
    assert {name for name in vars(kind) if not name.startswith("_")} <= NAMES


@pytest.mark.parametrize("kind", ["_BlockingCalls", "AwaitableSocket"])
def test_every_call_is_in_the_stub(kind):
    """stubtest does not see it: the extension has the calls in a class above both."""
    classes = {node.name: node for node in ast.parse(STUB).body if isinstance(node, ast.ClassDef)}
    stubbed = {node.name for node in classes[kind].body if isinstance(node, ast.FunctionDef)}
    assert set(CALLS) - stubbed == set()
