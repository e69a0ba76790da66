"""What runs in the process of a `Peer`: reads its job from stdin, and says where its socket is."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import linecache
import operator
import os
import pickle
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import ratchet
from ratchet import zmqsocket

_TEXT = "<peer>"


def _end_with_parent() -> None:
    """End when stdin does: its other end is the parent's, which is gone then."""
    # os.read, since a buffer's lock held at the exit would be an error there.
    while os.read(0, 1):
        pass
    os._exit(1)


def _find(module: str, file: str | None, name: str) -> Any:
    """Import the module of a function, by its name or else by its file, and return the function."""
    try:
        found = importlib.import_module(module)
    except ImportError:
        found = None
    if file is not None and getattr(found, "__file__", None) != file:  # as pytest imports tests
        spec = importlib.util.spec_from_file_location(module, file)
        if spec is None or spec.loader is None:
            raise ImportError(f"cannot import {file}")
        found = importlib.util.module_from_spec(spec)
        sys.modules[module] = found
        spec.loader.exec_module(found)
    return operator.attrgetter(name)(found)


def _work(job: dict[str, Any], control: int) -> Any:
    """Make the socket, tell where it is, and do what is asked for."""
    text = job["work"] if isinstance(job["work"], str) else None
    work = None if text is not None else _find(*job["work"])
    args = pickle.loads(job["args"])  # noqa: S301 - the parent's

    def open_with(new: Any) -> Any:
        zsock = new(job["type"], **job["options"])
        if job["connect"]:
            zsock.connect(job["connect"])
        else:
            zsock.bind(job["bind"])
        os.write(control, f"{job['connect'] or zsock.last_endpoint}\n".encode())
        os.close(control)
        return zsock

    if text is not None:
        lines = text.splitlines(keepends=True)
        linecache.cache[_TEXT] = (len(text), None, lines, _TEXT)  # for tracebacks
        code = compile(text, _TEXT, "exec")
        with open_with(zmqsocket.new) as zsock:
            names = {"zsock": zsock, "args": args, "ratchet": ratchet, "zmqsocket": zmqsocket}
            exec(code, {"__name__": "__main__", **names})  # noqa: S102 - the test's own text
        return None
    assert work is not None  # noqa: S101 - there is no text
    if inspect.iscoroutinefunction(work):
        import asyncio

        from ratchet.asyncio import new

        async def run() -> Any:
            async with open_with(new) as zsock:
                return await work(zsock, *args)

        return asyncio.run(run())
    with open_with(zmqsocket.new) as zsock:
        return work(zsock, *args)


def _own(error: BaseException) -> str:
    """Return the traceback without this file's frames, which tell nobody anything."""
    there = error.__traceback__
    while there is not None and there.tb_frame.f_code.co_filename == __file__:
        there = there.tb_next
    return "".join(traceback.format_exception(type(error), error, there or error.__traceback__))


def main() -> int:
    """Do one job, and leave its result or its error in the file that the job names."""
    job = pickle.load(sys.stdin.buffer)  # noqa: S301 - the parent's
    threading.Thread(target=_end_with_parent, daemon=True).start()
    control = os.dup(1)
    os.dup2(2, 1)  # from here on stdout and stderr are one file
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        outcome = pickle.dumps((None, _work(job, control)))
        status = 0
    except Exception as raised:  # noqa: BLE001 - the parent is told
        outcome = pickle.dumps((_own(raised), None))
        status = 1
    Path(job["result"]).write_bytes(outcome)
    return status


if __name__ == "__main__":
    sys.exit(main())
