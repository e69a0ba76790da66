"""``python -m ratchet.pyzmq program.py …`` and ``-m package …``: run pyzmq's program on ratchet.

The program becomes the module ``__main__`` and stays it. `runpy` would take that away when its main
thread is done, and threads that go on could neither pickle what is defined there nor find it.
"""

from __future__ import annotations

import builtins
import importlib.util
import io
import os
import pkgutil
import sys
from importlib.machinery import SourceFileLoader, SourcelessFileLoader
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import load

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import CodeType
    from typing import NoReturn

_USAGE = """\
usage: python -m ratchet.pyzmq program.py [argument ...]
       python -m ratchet.pyzmq -m package [argument ...]

Run a program that uses pyzmq on ratchet's core, and its children too."""


def main() -> None:
    """Run the program that the command line names, as Python itself would."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE, file=sys.stdout if arguments else sys.stderr)
        sys.exit(0 if arguments else 2)
    load()
    if arguments[0] == "-m":
        if len(arguments) < 2:
            print(_USAGE, file=sys.stderr)
            sys.exit(2)
        sys.argv = arguments[1:]
        sys.path[0] = os.getcwd()  # noqa: PTH109 - as Python does
        _run_spec(_find_module(arguments[1]))
    else:
        sys.argv = arguments
        _run_path(arguments[0])


def _find_module(name: str) -> ModuleSpec:
    """Return the spec of a module, or of the ``__main__`` of a package."""
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            name += ".__main__"
            spec = importlib.util.find_spec(name)
    except ModuleNotFoundError as error:  # of the packages that it is in
        _give_up(str(error), 1)
    if spec is None:
        _give_up(f"No module named {name}", 1)
    sys.argv[0] = spec.origin or sys.argv[0]
    return spec


def _run_path(path: str) -> None:
    """Run a file, or the ``__main__`` of a folder or a zip file."""
    whole = os.path.abspath(path)  # noqa: PTH100 - as Python does; it follows no link
    importer = pkgutil.get_importer(whole)
    spec = None if importer is None else importer.find_spec("__main__")
    if spec is not None:
        sys.path[0] = whole
        _run_spec(spec)
        return
    sys.path[0] = os.path.dirname(os.path.realpath(path))  # noqa: PTH120
    compiled = path.endswith(".pyc")
    loader = (SourcelessFileLoader if compiled else SourceFileLoader)("__main__", whole)
    code: Any
    try:
        code = loader.get_code("__main__") if compiled else _compiled(whole)
    except OSError as error:
        _give_up(f"can't open file {whole!r}: [Errno {error.errno}] {error.strerror}", 2)
    _run(code, __file__=whole, __cached__=None, __loader__=loader, __spec__=None)


def _compiled(path: str) -> CodeType:
    with io.open_code(path) as file:
        return compile(file.read(), path, "exec", dont_inherit=True)


def _run_spec(spec: ModuleSpec) -> None:
    loader: Any = spec.loader
    code = None if loader is None else loader.get_code(spec.name)
    if code is None:
        _give_up(f"No code object available for {spec.name}", 1)
    _run(
        code,
        __file__=spec.origin,
        __cached__=spec.cached,
        __loader__=loader,
        __package__=spec.parent,
        __spec__=spec,
    )


def _run(code: CodeType, **names: object) -> None:
    """Make the module ``__main__``, and run the code in it."""
    program = ModuleType("__main__")
    vars(program)["__builtins__"] = builtins  # the module; `exec` would put its dict there
    vars(program).update(names)
    sys.modules["__main__"] = program
    exec(code, vars(program))  # noqa: S102 - that is what the command is for


def _give_up(why: str, status: int) -> NoReturn:
    """End as Python does when it cannot run a program."""
    print(f"{sys.executable}: {why}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
