"""The table of docs/reliability.md: what is promised, the test, and how it ends in each library."""

import contextlib
import platform
from itertools import groupby

from .adapters import KINDS
from .scenario import LIBRARIES, SCENARIOS

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
    ("pyzmq-on-ratchet", "threads"): "OS threads",
    ("pyzmq-on-ratchet", "cooperative"): "gevent",
    ("pyzmq-on-ratchet", "asyncio"): "asyncio",
}


def cell(one, library, found, before):
    """The outcomes of one library: each once, with the kinds of thread it came in.

    If it was not run, what the page says of it ``before``.
    """
    ends = [
        (found[key].text.replace("|", "/"), NAMES[library, kind])
        for kind in one.kinds
        if (key := (one.name, library, kind)) in found
    ]
    if not ends:
        kept = before.get(one.name, ())
        place = LIBRARIES.index(library)
        return kept[place] if len(kept) > place else "–"
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


def cells_of(text):
    """What a page says: the cells of the libraries, by the name of the test."""
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) > 2 and cells[1].startswith("`"):
            found[cells[1].split("`")[1]] = cells[2:]
    return found


def rows(found, old):
    """The lines of the table, by family; ``old``: those that are there."""
    before = cells_of(old)
    asked = {(one.name, library) for one in SCENARIOS.values() for library in one.libraries}
    everything = {(name, library) for name, library, _ in found} >= asked
    told = [line for line in old.splitlines() if line.startswith("Python ")]
    lines = ["", facts() if everything or not told else told[0]]
    for family, members in groupby(SCENARIOS.values(), key=lambda one: one.function.__module__):
        title = family.rpartition("scenarios_")[2].capitalize()
        lines += [
            "",
            f"### {title}",
            "",
            "| promise | test | ratchet | pyzmq | pyzmq on ratchet |",
            "| --- | --- | --- | --- | --- |",
        ]
        for one in members:
            side = one.libraries[0]
            kinds = ", ".join(NAMES[side, kind] for kind in one.kinds)
            where = f"`{one.name}`" + (f" ({kinds})" if one.kinds != KINDS else "")
            cells = [cell(one, library, found, before) for library in LIBRARIES]
            lines.append(f"| {one.promise} | {where} | {' | '.join(cells)} |")
    return lines


def write(page, found):
    """Put the table between the two marks of the page."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    old, _, after = rest.partition(END)
    table = "\n".join(rows(found, old))
    page.write_text(f"{before}{BEGIN}\n{table}\n\n{END}{after}", encoding="utf-8")
