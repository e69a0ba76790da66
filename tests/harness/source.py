"""The text of the extension, for tests that read it."""

import re
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "ratchet"
EXTENSION = PACKAGE / "_zmq.pyx"
COMMENT = re.compile(r"#.*$", re.MULTILINE)
STRING = re.compile(r'("""|\'\'\').*?\1|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def parts():
    """The extension's files, in the order in which they are included."""
    return [
        PACKAGE / name
        for name in re.findall(r'^include "(.+)"', EXTENSION.read_text(), re.MULTILINE)
    ]


def code(path):
    """A file without comments and what strings say."""
    return COMMENT.sub("", STRING.sub('""', path.read_text()))
