"""Adapters of what people pick instead of ZeroMQ: zenoh over tcp, iceoryx2 in shared memory.

Both publish and subscribe, and have no PUSH, PULL, REQ and REP; so a socket here is a publisher or
a subscriber or one of each. Publishers wait while a queue is full, so that nothing is dropped, and
bytes are handed over and received, as with all others.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import socket
import time
from importlib import metadata
from typing import TYPE_CHECKING, Any

from .adapters import ADAPTERS, Library

if TYPE_CHECKING:
    from collections.abc import Callable

    from .cases import Case

# What a socket of each kind does.
SENDS, RECEIVES = {"PUSH", "REQ", "REP"}, {"PULL", "REQ", "REP"}
WORKS = ("one-call", "batched", "round-trip")
MEET = 10  # seconds until publisher and subscriber must have found each other


class Other(Library):
    """A library whose sockets are made when they are bound or connected."""

    transport = ""

    @classmethod
    def takes(cls, case: Case) -> bool:
        """Whether it is measured in this case."""
        return case.work in WORKS and case.transport == cls.transport

    def join(self, sock: Any, endpoint: str, bind: bool) -> str:
        """Bind or connect; the endpoint to connect to."""
        joined: str = sock.join(endpoint, bind)
        return joined

    def ends(self, sock: Any, _suffix: str) -> tuple[Any, Callable[..., Any]]:
        """The methods that send and receive, when they have somebody to send to."""
        sock.meet()
        return sock.send, sock.recv


class ZenohSocket:
    """A session of zenoh's with a publisher or a subscriber or both."""

    def __init__(self, kind: str, hwm: int) -> None:
        self.zenoh = importlib.import_module("zenoh")
        self.kind, self.hwm = kind, hwm
        self.session = self.publisher = self.take = None
        self.send: Any = None

    def join(self, endpoint: str, bind: bool) -> str:
        """Listen or connect, without looking for others in the network."""
        zenoh: Any = self.zenoh
        address = endpoint.removeprefix("tcp://")
        if bind:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                address = f"127.0.0.1:{probe.getsockname()[1]}"
        config = zenoh.Config()
        for name, value in (
            ("mode", "peer"),
            ("scouting/multicast/enabled", False),
            ("scouting/gossip/enabled", False),
            ("transport/shared_memory/enabled", False),
            ("listen/endpoints", [f"tcp/{address}"] if bind else []),
            ("connect/endpoints", [] if bind else [f"tcp/{address}"]),
        ):
            config.insert_json5(name, json.dumps(value))
        self.session = zenoh.open(config)
        mine, other = ("far", "near") if bind else ("near", "far")
        if self.kind in RECEIVES:
            channel = zenoh.handlers.FifoChannel(self.hwm)  # waits when it is full
            self.take = self.session.declare_subscriber(f"bench/{mine}", channel).recv
        if self.kind in SENDS:
            block = zenoh.CongestionControl.BLOCK
            self.publisher = self.session.declare_publisher(
                f"bench/{other}", congestion_control=block
            )
            self.send = self.publisher.put
        return f"tcp://{address}"

    def meet(self) -> None:
        """Wait until there is a subscriber."""
        deadline = time.monotonic() + MEET
        while self.publisher and not self.publisher.matching_status.matching:
            if time.monotonic() > deadline:
                raise SystemExit("zenoh: no subscriber has come")
            time.sleep(0.001)

    def recv(self) -> bytes:
        """Take the next message, as bytes."""
        taken: bytes = self.take().payload.to_bytes()  # type: ignore[misc]
        return taken

    def close(self) -> None:
        """End the session."""
        if self.session:
            self.session.close()


class Zenoh(Other):
    """eclipse-zenoh, between two peers without a router."""

    module = "zenoh"
    transport = "tcp"

    def new(self, kind: str, hwm: int) -> Any:
        """Make a socket."""
        return ZenohSocket(kind, hwm)

    def facts(self) -> dict[str, str]:
        """The versions."""
        importlib.import_module(self.module)
        return {"version": metadata.version("eclipse-zenoh"), "libzmq": "none (zenoh)"}


class Iceoryx2Socket:
    """A publisher with a notifier, a subscriber with a listener, or both."""

    def __init__(self, kind: str, hwm: int) -> None:
        self.iox: Any = importlib.import_module("iceoryx2")
        self.kind, self.hwm = kind, hwm
        self.kept: list[Any] = []  # what must live as long as it

    def join(self, endpoint: str, bind: bool) -> str:
        """Open the services of both directions, as far as they are used."""
        iox = self.iox
        node = iox.NodeBuilder.new().signal_handling_mode(iox.SignalHandlingMode.Disabled)
        node = node.create(iox.ServiceType.Ipc)
        mine, other = ("far", "near") if bind else ("near", "far")
        if self.kind in RECEIVES:
            messages, events = self.services(node, f"{endpoint}/{mine}")
            self.take = messages.subscriber_builder().create().receive
            self.wait = events.listener_builder().create().blocking_wait
        if self.kind in SENDS:
            messages, events = self.services(node, f"{endpoint}/{other}")
            publisher = messages.publisher_builder().initial_max_slice_len(16)
            publisher = publisher.allocation_strategy(iox.AllocationStrategy.PowerOfTwo)
            wait = iox.BackpressureStrategy.RetryUntilDelivered
            self.loan = publisher.backpressure_strategy(wait).create().loan_slice_uninit
            self.notify = events.notifier_builder().create().notify
        self.kept.append(node)
        return endpoint

    def services(self, node: Any, name: str) -> tuple[Any, Any]:
        """Open the services for messages in one direction, and for the events that tell of them."""
        iox = self.iox
        kind = iox.Slice[ctypes.c_uint8]
        builder = node.service_builder(iox.ServiceName.new(name)).publish_subscribe(kind)
        builder = builder.subscriber_max_buffer_size(self.hwm).enable_safe_overflow(False)
        messages = builder.open_or_create()
        events = node.service_builder(iox.ServiceName.new(f"{name}/events")).event()
        self.kept += [messages, events := events.open_or_create()]
        return messages, events

    def meet(self) -> None:
        """Do nothing: what is bound first has subscribed before the other is connected."""

    def send(self, data: bytes) -> None:
        """Copy a message into shared memory and tell of it."""
        while True:
            sample = self.loan(len(data))
            ctypes.memmove(sample.payload_ptr, data, len(data))
            if sample.assume_init().send():
                break  # it says how many have got it, and nobody has while it has just come
        self.notify()

    def recv(self) -> bytes:
        """Copy the next message out of shared memory; sleep until there is one."""
        while (sample := self.take()) is None:
            self.wait()
        return bytes(sample.payload().as_memory_view())

    def close(self) -> None:
        """Let go of everything."""
        self.__dict__.clear()


class Iceoryx2(Other):
    """iceoryx2, whose receiver sleeps until an event tells of a message."""

    module = "iceoryx2"
    transport = "ipc"

    def new(self, kind: str, hwm: int) -> Any:
        """Make a socket."""
        return Iceoryx2Socket(kind, hwm)

    def facts(self) -> dict[str, str]:
        """The versions."""
        importlib.import_module(self.module)
        return {"version": metadata.version("iceoryx2"), "libzmq": "none (iceoryx2)"}


ADAPTERS.update({"zenoh": Zenoh, "iceoryx2": Iceoryx2})
