"""Links to files that are no pages: each such file becomes a page of its own, read-only.

In the repository's web view a link such as ``../ratchet/thread.py`` leads to the file. On the site
it leads to the same text, with its lines numbered; to a folder, it leads to the list of its files.
"""

from html import escape
from os.path import normpath
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform
from sphinx.util import logging
from sphinx.util.osutil import relative_uri

ROOT = Path(__file__).parents[2]
LANGUAGES = {
    ".py": "python", ".pyi": "python", ".pyx": "cython", ".pxi": "cython", ".pxd": "cython",
    ".md": "markdown", ".toml": "toml", ".yml": "yaml", ".sh": "shell", ".c": "c", ".json": "json",
}  # fmt: skip
# Files beside the site's folder that are pages of it.
PAGES = {
    "CONTRIBUTING.md": "contributing",
    "CHANGELOG.md": "changelog",
    "SECURITY.md": "security",
    "CODE_OF_CONDUCT.md": "conduct",
}
log = logging.getLogger(__name__)


class Sources(SphinxTransform):
    """Turns such links from what the parser makes of them, a download or nothing, into links."""

    default_priority = 200

    def apply(self):
        """Look at every link of the page."""
        for node in list(self.document.findall(addnodes.download_reference)):
            self.turn(node)
        for node in list(self.document.findall(addnodes.pending_xref)):
            if node.get("reftype") == "myst":
                self.turn(node)

    def turn(self, node):
        """Replace one link, if it leads out of the site's folder."""
        target, _, anchor = node["reftarget"].partition("#")
        if node.get("refdomain") == "doc":  # a page, for all the parser knows
            target, anchor = f"{target}.md", node.get("reftargetid")
        # A file that is included, such as CONTRIBUTING.md, has its links from where it is.
        starts = [(ROOT / "docs" / self.env.docname).parent, ROOT]
        paths = [Path(normpath(start / target)) for start in starts]
        path = next((path for path in paths if path.exists()), None)
        if path is None or not path.is_relative_to(ROOT) or path == ROOT:
            return
        name = path.relative_to(ROOT).as_posix()
        if name in PAGES:
            uri = f"{PAGES[name]}.html" + (f"#{anchor}" if anchor else "")
        elif name == "docs":
            uri = "index.html"
        elif name.startswith("docs/"):
            return
        else:
            self.env.metadata[self.env.docname].setdefault("sources", set()).add(name)
            uri = f"{page_of(name)}.html"
        uri = relative_uri(f"{self.env.docname}.html", uri)
        node.replace_self(nodes.reference("", "", *node.children, refuri=uri, internal=True))


def page_of(name):
    """The page of a file or a folder."""
    return f"source/{name}" if (ROOT / name).is_file() else f"source/{name}/index"


def collect(app):
    """The pages of sources."""
    wanted = sorted(set().union(*(page.get("sources", ()) for page in app.env.metadata.values())))
    while wanted:
        name = wanted.pop()
        path = ROOT / name
        page = page_of(name)
        if path.is_file():
            code = path.read_text(encoding="utf-8")
            language = LANGUAGES.get(path.suffix, "make" if name == "Makefile" else "text")
            body = app.builder.highlighter.highlight_block(code, language, linenos="inline")
        else:
            files = sorted(f for f in path.iterdir() if f.is_file() and f.suffix in LANGUAGES)
            wanted += [f"{name}/{f.name}" for f in files]
            items = "".join(f'<li><a href="{f.name}.html">{escape(f.name)}</a></li>' for f in files)
            body = f"<ul>{items}</ul>"
        context = {"title": name, "body": f"<h1>{escape(name)}</h1>\n{body}"}
        yield page, context, "page.html"


def setup(app):
    """Tell Sphinx."""
    app.add_transform(Sources)
    app.connect("html-collect-pages", collect)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
