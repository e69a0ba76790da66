"""What may be written after ``ratchet``: the parser, its help, and completion for shells."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from .. import __version__
from . import bench, ends, info, keygen, monitor, proxy, recv, request, send, serve
from .layout import Formatter, examples

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import NoReturn

__all__ = ["Parser", "command", "make"]

COMMANDS = {
    module.__name__.rpartition(".")[2]: module
    for module in (recv, send, request, serve, proxy, monitor, keygen, bench, info)
}

DESCRIPTION = """\
ZeroMQ on the command line: look at messages, send some, answer, measure.

A URI is TYPE:ENDPOINT, such as sub:tcp://host:5555 or 'pull:tcp://*:5555'. An endpoint with * is
bound, others are connected. Quote a *, which a shell may take for a pattern of file names."""

EPILOG = """\
exit status:
  0    done, or the reader of the output has had enough (| head)
  1    failure; one line on stderr says which
  2    the command line is wrong
  124  the time was up (--timeout), as timeout(1) has it
  130  Ctrl-C (by SIGINT); 143: SIGTERM

"ratchet COMMAND --help" shows the options of a command, and examples."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and whose help keeps its examples as they are written."""

    def __init__(self, **how: Any) -> None:
        super().__init__(formatter_class=Formatter, allow_abbrev=False, **how)

    # What puts the words of a command into the order in which argparse understands them.
    prepare: Callable[[Sequence[str], Mapping[str, argparse.Action]], list[str]] | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the words, prepared."""
        if self.prepare is not None and args is not None:
            args = self.prepare(args, self._option_string_actions)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and where help is."""
        ends.set_name(self.prog)
        ends.tell(f"{message} (see {self.prog} --help)")
        self.exit(ends.USAGE)


def make() -> Parser:
    """Make the parser of everything."""
    parser = Parser(prog="ratchet", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"ratchet {__version__}")
    add_completion(parser)
    found = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, module in COMMANDS.items():
        sub = found.add_parser(
            name,
            help=module.HELP,
            description=f"{module.HELP[0].upper()}{module.HELP[1:]}.\n\n{module.MORE}",
            epilog=examples(module.EXAMPLES),
        )
        module.add_arguments(sub)
        sub.prepare = getattr(module, "in_order", None)
        sub.set_defaults(run=module.run, parser=sub)
    return parser


def add_completion(parser: Parser) -> None:
    """Offer scripts that complete commands and options, which shtab writes."""
    text = "print a script for this shell, and end"
    try:
        import shtab
    except ImportError:
        parser.add_argument("--print-completion", metavar="SHELL", action=NoCompletion, help=text)
    else:
        shtab.add_argument_to(parser, help=text)


class NoCompletion(argparse.Action):
    """Says what is missing."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        """End with an error."""
        parser.error("--print-completion needs shtab: pip install 'ratchet-zmq[cli]'")


def command(argv: Sequence[str] | None) -> int:
    """Parse a command line and run its command."""
    parser = make()
    args, rest = parser.parse_known_args(argv)
    if not hasattr(args, "run"):
        parser.error(f"give a command: {', '.join(COMMANDS)}")
    ends.set_name(args.parser.prog)
    if rest:
        args.parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return int(args.run(args))
