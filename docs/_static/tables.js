// On a narrow screen, a table that is too wide or crowded becomes a list: each row a paragraph, each
// cell with the head of its column before it. What this cannot tell stays as it is, and can be
// scrolled. On all screens, a long name in code breaks after an underscore rather than anywhere, and
// a path that is a heading after a slash.

const NARROW = "(max-width: 46em)";
const LONG = 90; // characters of code in a phone's width, in three lines
const TALL = 180; // pixels of a row, more than seven lines

function label(table) {
  const heads = Array.from(table.querySelectorAll("thead th"), (head) => head.textContent.trim());
  for (const row of table.querySelectorAll("tbody tr")) {
    Array.from(row.children).forEach((cell, column) => {
      cell.dataset.head = heads[column] || "";
    });
  }
}

function breakAfter(pattern, element) {
  const nodes = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  const texts = [];
  while (nodes.nextNode()) texts.push(nodes.currentNode);
  for (const text of texts) {
    const pieces = text.data.split(pattern);
    const parts = pieces.flatMap((piece) => [document.createElement("wbr"), piece]);
    text.replaceWith(...parts.slice(1));
  }
}

function crowded(table) {
  const names = Array.from(table.querySelectorAll("td code"), (name) => name.textContent.length);
  const tall = Array.from(table.rows).some((row) => row.clientHeight > TALL);
  return tall || Math.max(0, ...names) * table.rows[0].cells.length > LONG;
}

function arrange() {
  for (const table of document.querySelectorAll(".content table.docutils")) {
    table.classList.remove("as-list");
    const place = table.closest(".table-wrapper") || table.parentElement;
    const wide = place.scrollWidth > place.clientWidth || crowded(table);
    const listed = getComputedStyle(table).display === "block"; // by the style sheet
    table.classList.toggle("as-list", wide && !listed && window.matchMedia(NARROW).matches);
  }
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".content table.docutils").forEach(label);
  const names = document.querySelectorAll(".content table.docutils code");
  names.forEach((name) => breakAfter(/(?<=[^_]_)(?=[^_])/, name));
  document.querySelectorAll("h1").forEach((heading) => breakAfter(/(?<=\/)/, heading));
  arrange();
  window.matchMedia(NARROW).addEventListener("change", arrange);
});
