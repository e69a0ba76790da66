"""The table of docs/reliability.md: what is promised, the test, and how it ends in each library."""

import contextlib
import platform
from itertools import groupby

from .adapters import KINDS
from .scenario import LIBRARIES

BEGIN = "<!-- made by make torture -->"
END = "<!-- end of what is made -->"
NAMES = {
    ("ratchet", "threads"): "OS threads",
    ("ratchet", "cooperative"): "ratchet threads",
    ("ratchet", "asyncio"): "asyncio",
    ("ratchet", "trio"): "trio",
    ("ratchet", "gevent"): "gevent",
    ("pyzmq", "threads"): "OS threads",
    ("pyzmq", "cooperative"): "gevent",
    ("pyzmq", "asyncio"): "asyncio",
}


def cell(one, library, found):
    """The outcomes of one library: each once, with the kinds of thread it came in."""
    ends = [
        (found[key].text.replace("|", "/"), NAMES[library, kind])
        for kind in one.kinds
        if (key := (one.name, library, kind)) in found
    ]
    if not ends:
        return "–"
    texts = sorted({text for text, _ in ends}, key=[text for text, _ in ends].index)
    if len(texts) == 1 and len(ends) == sum((library, kind) in NAMES for kind in one.kinds):
        return texts[0]
    grouped = [(text, [name for other, name in ends if other == text]) for text in texts]
    return "; ".join(f"{', '.join(names)}: {text}" for text, names in grouped)


def facts():
    """What was measured, where."""
    import ratchet

    system = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    libzmq = ".".join(map(str, ratchet.libzmq_version()))
    text = f"{system}; ratchet {ratchet.__version__} on libzmq {libzmq}"
    with contextlib.suppress(ImportError):
        import zmq

        text += f"; pyzmq {zmq.__version__} on libzmq {zmq.zmq_version()}"
    return f"{text}."


def rows(scenarios, found):
    """The lines of the table, by family."""
    lines = ["", facts()]
    for family, members in groupby(scenarios, key=lambda one: one.function.__module__):
        title = family.rpartition("scenarios_")[2].capitalize()
        lines += [
            "",
            f"### {title}",
            "",
            "| promise | test | ratchet | pyzmq |",
            "| --- | --- | --- | --- |",
        ]
        for one in members:
            side = one.libraries[0]
            kinds = ", ".join(NAMES[side, kind] for kind in one.kinds)
            where = f"`{one.name}`" + (f" ({kinds})" if one.kinds != KINDS else "")
            cells = [cell(one, library, found) for library in LIBRARIES]
            lines.append(f"| {one.promise} | {where} | {cells[0]} | {cells[1]} |")
    return lines


def write(page, scenarios, found):
    """Put the table between the two marks of the page."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    table = "\n".join(rows(scenarios, found))
    page.write_text(f"{before}{BEGIN}\n{table}\n\n{END}{after}", encoding="utf-8")
