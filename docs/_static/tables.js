// On a narrow screen, a table that is too wide becomes a list: each row a paragraph, each cell with
// the head of its column before it. What this cannot tell stays as it is, and can be scrolled. On
// all screens, a long name in code breaks after an underscore rather than anywhere.

const NARROW = "(max-width: 46em)";

function label(table) {
  const heads = Array.from(table.querySelectorAll("thead th"), (head) => head.textContent.trim());
  for (const row of table.querySelectorAll("tbody tr")) {
    Array.from(row.children).forEach((cell, column) => {
      cell.dataset.head = heads[column] || "";
    });
  }
}

function breakAtUnderscores(code) {
  const nodes = document.createTreeWalker(code, NodeFilter.SHOW_TEXT);
  const texts = [];
  while (nodes.nextNode()) texts.push(nodes.currentNode);
  for (const text of texts) {
    const pieces = text.data.split(/(?<=[^_]_)(?=[^_])/);
    const parts = pieces.flatMap((piece) => [document.createElement("wbr"), piece]);
    text.replaceWith(...parts.slice(1));
  }
}

function arrange() {
  for (const table of document.querySelectorAll(".content table.docutils")) {
    table.classList.remove("as-list");
    const place = table.closest(".table-wrapper") || table.parentElement;
    const wide = place.scrollWidth > place.clientWidth;
    table.classList.toggle("as-list", wide && window.matchMedia(NARROW).matches);
  }
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".content table.docutils").forEach(label);
  document.querySelectorAll(".content table.docutils code").forEach(breakAtUnderscores);
  arrange();
  window.matchMedia(NARROW).addEventListener("change", arrange);
});
