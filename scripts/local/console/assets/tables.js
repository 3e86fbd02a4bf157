import { h, json, plural, empty } from "./dom.js";
import { state, fetchData } from "./runtime.js";

export const title = "Tables";

let picker, content, pages, name, chosen;

export function mount(main, [wanted]) {
  picker = h("div.tabs", { role: "group", "aria-label": "Tables" });
  content = h("div");
  main.append(picker, content);
  name = null;
  chosen = wanted;
}

export const navigate = ([wanted]) => open(wanted);

export function update(changed) {
  if (!changed.has("tables") || !state.tables) return;
  picker.replaceChildren(...state.tables.map(tab));
  open(chosen);
}

const tab = (t) => h("a", { href: "#/tables/" + encodeURIComponent(t.name), title: t.name }, t.label);

function open(wanted) {
  chosen = wanted;
  const before = name;
  name = wanted ?? state.tables?.[0]?.name;
  for (const a of picker.children) a.toggleAttribute("aria-current", a.hash === "#/tables/" + encodeURIComponent(name ?? ""));
  if (!name) return content.replaceChildren(empty("No tables", "The template declares none."));
  if (name === before) return; // it is open already
  pages = [""];
  load();
}

async function load() {
  const mine = name;
  const cursor = pages.at(-1);
  try {
    const page = await fetchData(`/data/tables/${encodeURIComponent(mine)}?cursor=${encodeURIComponent(cursor)}`);
    if (mine === name && cursor === pages.at(-1)) render(page);
  } catch (err) {
    content.replaceChildren(empty("Could not read the table", err.message));
  }
}

/** columns are the keys, then the attributes that most items have. */
function columns(page) {
  const seen = new Map();
  for (const item of page.items) for (const k of Object.keys(item)) seen.set(k, (seen.get(k) ?? 0) + 1);
  const rest = [...seen].filter(([k]) => !page.keys.includes(k)).sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
  return [...page.keys, ...rest.slice(0, 5).map(([k]) => k)];
}

const short = (v) => (v === undefined ? "" : typeof v === "object" ? JSON.stringify(v) : String(v));

function render(page) {
  const names = columns(page);
  const rows = page.items.map((item) => {
    const row = h("tr", names.map((n, i) => (i === 0
      ? h("th.mono.cut", { scope: "row" }, h("button.link", { type: "button", "aria-expanded": "false", onclick: (e) => expand(row, item, names.length, e.currentTarget) }, short(item[n])))
      : h("td.mono.cut", { title: short(item[n]) }, short(item[n])))));
    return row;
  });
  content.replaceChildren(
    h("div.bar", pager(page), h("button.quiet.boxed", { type: "button", onclick: load }, "Reload"),
      h("span.dim", { role: "status" }, `Page ${pages.length}, ${plural(page.items.length, "item")}`)),
    page.items.length
      ? h("div.card.table", h("table.rows.even.items", h("thead", h("tr", names.map((n, i) => h(i < page.keys.length ? "th.wide" : "th.cut", { title: n }, n, i < page.keys.length && h("span.tag", "key"))))), h("tbody", rows)))
      : empty("No items here"));
}

const pager = (page) => [
  h("button.quiet.boxed", { type: "button", disabled: pages.length === 1, onclick: () => (pages.pop(), load()) }, "Previous"),
  h("button.quiet.boxed", { type: "button", disabled: !page.next, onclick: () => (pages.push(page.next), load()) }, "Next"),
];

function expand(row, item, width, button) {
  const opened = row.nextElementSibling?.classList.contains("inner") ? row.nextElementSibling : null;
  button.setAttribute("aria-expanded", String(!opened));
  if (opened) opened.remove();
  else row.after(h("tr.inner", h("td", { colspan: width }, json(item))));
}
