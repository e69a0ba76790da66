"""The directive `api`: signatures as the source or the stub writes them, docstrings at run time.

autodoc sees neither the types of a Cython module nor those that are imported for checkers only.
"""

import ast
import functools
import importlib
import inspect
import re
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.ext.napoleon import GoogleDocstring
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

WHERE = (
    *("ratchet", "ratchet.zmqsocket", "ratchet.thread", "ratchet.asyncio", "ratchet.trio"),
    *("ratchet.anyio", "ratchet.auth", "ratchet.options"),
)
NAME = re.compile(r"(?<![`:])`([\w.]+)`(?!`)")
RETURNED = re.compile(r"(^Returns:\n +)(?:[\w.]+(?:\[.*?\])?: )?", re.MULTILINE)
COROUTINE = re.compile(r"Coroutine\[Any, Any, (.*)\]")


@functools.cache
def tree(module):
    """The syntax of a module: that of its stub, if it has one."""
    path = Path(inspect.getfile(importlib.import_module(module)))
    stub = path.with_name(module.rpartition(".")[2] + ".pyi")
    return ast.parse((stub if stub.exists() else path).read_text(encoding="utf-8"))


def named(body, name):
    """What ``body`` defines by that name; several are overloads."""
    return [node for node in body if getattr(node, "name", None) == name]


def members(scope, owner, name):
    """The same of a class, or of one that it is made of in the same file."""
    found = named(owner.body, name)
    for base in owner.bases:
        for parent in [] if found else named(scope.body, ast.unparse(base)):
            found = members(scope, parent, name)
    return found


def definitions(thing, owner, name):
    """Where a function, a class, or the member ``name`` of the class ``owner`` is written."""
    if owner is None:
        return named(tree(thing.__module__).body, thing.__name__)
    for kind in owner.__mro__:
        if kind.__module__.startswith("ratchet"):
            scope = tree(kind.__module__)
            for parent in named(scope.body, kind.__name__):
                if found := members(scope, parent, name):
                    return found
    return []


def result(node):
    """The type of what a function returns, or of a property."""
    return ast.unparse(node.returns).replace("builtins.", "") if node.returns else "None"


def signature(node, called):
    """``called(arguments) -> result``, without self; the result of a coroutine as it is awaited."""
    arguments = ast.arguments(**vars(node.args))
    arguments.args = [argument for argument in arguments.args if argument.arg != "self"]
    awaited = COROUTINE.fullmatch(result(node))
    return f"{called}({ast.unparse(arguments)}) -> {awaited[1] if awaited else result(node)}"


def heading(thing, owner, called):
    """What the Python domain is told: the kind of thing, its signatures, its options."""
    if inspect.isclass(thing):
        if issubclass(thing, BaseException):
            return "exception", [called], []
        made = definitions(thing, thing, "__init__") if "__init__" in vars(thing) else []
        texts = [signature(node, called).removesuffix(" -> None") for node in made]
        return "class", texts or [called], []
    written = definitions(thing, owner, called.rpartition(".")[2])
    if not written:
        raise LookupError(f"nothing in the source or the stub defines {called}")
    if any(ast.unparse(mark) == "property" for mark in written[0].decorator_list):
        return "property", [called], [f":type: {result(written[0])}"]
    options = [":async:"] if COROUTINE.fullmatch(result(written[0])) else []
    kind = "method" if owner else "function"
    return kind, [signature(node, called) for node in written], options


class Api(SphinxDirective):
    """``.. api:: module``, and below it the names to describe, such as ``ZMQSocket.send``."""

    required_arguments = 1
    has_content = True

    def run(self):
        """Make what the Python domain understands, and have it read."""
        name = self.arguments[0]
        module = importlib.import_module(name)
        lines = [f".. py:currentmodule:: {name}", ""]
        for called in " ".join(self.content).split():
            owner, _, member = called.rpartition(".")
            owner = getattr(module, owner) if owner else None
            thing = getattr(owner or module, member)
            lines += self.describe(thing, owner, called)
        node = nodes.Element()
        node.document = self.state.document
        self.state.nested_parse(StringList(lines, f"the api of {name}"), 0, node)
        return node.children

    def describe(self, thing, owner, called):
        """The lines for one name."""
        kind, texts, options = heading(thing, owner, called)
        said = inspect.getdoc(thing) or ""
        if kind == "exception":
            said += f"\n\nA kind of {' and '.join(base.__name__ for base in thing.__bases__)}."
        said = NAME.sub(r":py:obj:`\1`", said)
        said = RETURNED.sub(r"\1: ", said)  # the signature has the type
        first, *others = texts
        start = f".. py:{kind}:: "
        return [
            start + first,
            *(" " * len(start) + other for other in others),
            *(f"   {option}" for option in options),
            "",
            *(f"   {line}" for line in str(GoogleDocstring(said, self.config)).splitlines()),
            "",
        ]


def resolve(app, env, node, contnode):
    """A name that is not complete: one that ratchet has somewhere else, or a member."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    domain = env.domains.python_domain
    for module in WHERE:
        for known in (f"{module}.{target}", f"{module}.ZMQSocket.{target}"):
            if known in domain.objects:
                there = domain.objects[known]
                return make_refnode(
                    app.builder, node["refdoc"], there.docname, there.node_id, contnode, known
                )
    return None


def setup(app):
    """Tell Sphinx."""
    app.add_directive("api", Api)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
