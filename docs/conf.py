"""The documentation as a site: `make docs`, or `python -m sphinx -W docs build/docs`."""

# ruff: noqa: INP001 (Sphinx reads it by its path)
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import ratchet

project = "ratchet"
author = "the ratchet authors"
project_copyright = author
version = release = ratchet.__version__

extensions = ["myst_parser", "sphinx.ext.napoleon", "_extensions.api", "_extensions.sources"]
root_doc = "index"
nitpicky = True
# Python's own, as signatures name them; its documentation is not at hand.
PYTHONS = """
    Any AttributeError BaseException BufferError Buffer Callable EllipsisType Iterable Literal None
    OSError RuntimeError Self TextIO TimeoutError TypeError Unpack ValueError bool bytes deque dict
    float int list memoryview object str tuple
"""
nitpick_ignore = {
    *(("py:class", name) for name in PYTHONS.split()),
    *(("py:exc", name) for name in PYTHONS.split()),
    ("py:class", "HasFileno"),  # of a signature only
    *(("py:class", name) for name in ("Mapping", "Path", "os.PathLike")),  # Python's, in signatures
    ("py:class", "T"),
    ("py:class", "selectors.SelectorKey"),
    ("py:obj", "selectors"),
    ("py:obj", "selectors.BaseSelector"),
    ("py:class", "SocketBase"),  # of signatures: a socket of any kind
    ("py:class", "_SendManyCall"),  # a coroutine with `taken`, which the page of the API tells
    ("py:obj", "help"),
}

myst_heading_anchors = 4  # as in the repository's web view, so that links work in both
myst_enable_extensions = ["fieldlist", "tasklist"]

highlight_language = "text"
smartquotes_action = "D"  # dashes only: b'' is no quotation
maximum_signature_line_length = 100
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"ratchet {release}"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["ratchet.css"]
html_js_files = ["tables.js"]
pygments_style = "default"
pygments_dark_style = "github-dark"
