"""Endpoints that nobody else has, for as long as a test needs them."""

from __future__ import annotations

import contextlib
import shutil
import socket
import sys
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["free_endpoint", "free_port"]


@contextlib.contextmanager
def free_endpoint(transport: str = "tcp") -> Iterator[str]:
    """Give an endpoint that nobody else has, to bind and to connect to in any order.

    On Linux a port is kept from others until the end; elsewhere it was free a moment ago. The
    folder of an ipc endpoint is removed at the end.

    Args:
        transport: ``"tcp"`` (on loopback), ``"ipc"`` or ``"inproc"``.

    Raises:
        ValueError: another transport.
    """
    if transport == "inproc":
        yield f"inproc://{uuid.uuid4()}"
    elif transport == "ipc":
        # A path of a socket has 107 bytes at most, and a test's own folder may be longer.
        folder = tempfile.mkdtemp(prefix="ratchet-", dir="/tmp" if Path("/tmp").exists() else None)  # noqa: S108
        try:
            yield f"ipc://{folder}/s"
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    elif transport == "tcp":
        with free_port() as port:
            yield f"tcp://127.0.0.1:{port}"
    else:
        raise ValueError(f"transport must be 'tcp', 'ipc' or 'inproc', not {transport!r}")


@contextlib.contextmanager
def free_port() -> Iterator[int]:
    """Give a free port of loopback, kept as `free_endpoint` says."""
    with socket.socket() as holder:
        # Linux lets a second socket with this option listen at a port where the first only is
        # bound, as libzmq's listeners do, and gives such a port to nobody who asks for any.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        port: int = holder.getsockname()[1]
        if sys.platform != "linux":
            holder.close()
        yield port
