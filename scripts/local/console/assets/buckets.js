import { h, bytes, json, moment, plural, empty } from "./dom.js";
import { state, fetchData } from "./runtime.js";

export const title = "Buckets";

let picker, content, prefix, name, chosen, marks;

export function mount(main, [wanted]) {
  picker = h("div.tabs", { role: "group", "aria-label": "Buckets" });
  prefix = h("input", { type: "search", placeholder: "Key begins with", "aria-label": "Key begins with", onchange: first });
  content = h("div");
  main.append(picker, content);
  name = null;
  chosen = wanted;
}

export const navigate = ([wanted]) => open(wanted);

export function update(changed) {
  if (!changed.has("buckets") || !state.buckets) return;
  picker.replaceChildren(...state.buckets.map(tab));
  open(chosen);
}

const tab = (b) => h("a", { href: "#/buckets/" + encodeURIComponent(b.name), title: b.name }, b.label, b.note && h("span.tag.bad", b.note));

function open(wanted) {
  chosen = wanted;
  const before = name;
  name = wanted ?? state.buckets?.[0]?.name;
  for (const a of picker.children) a.toggleAttribute("aria-current", a.hash === "#/buckets/" + encodeURIComponent(name ?? ""));
  if (!name) return content.replaceChildren(empty("No buckets", "The template declares none."));
  if (name === before) return; // it is open already
  prefix.value = "";
  first();
}

function first() {
  marks = [{}];
  load();
}

const path = (part, query) => `/data/buckets/${encodeURIComponent(name)}${part}?${new URLSearchParams(query)}`;

async function load() {
  const mine = name;
  const mark = marks.at(-1);
  try {
    const page = await fetchData(path("", { prefix: prefix.value, key: mark.key ?? "", version: mark.version ?? "" }));
    if (mine === name && mark === marks.at(-1)) render(page);
  } catch (err) {
    content.replaceChildren(empty("Could not list the bucket", err.message));
  }
}

function render(page) {
  const rows = page.versions.map((v) => {
    const row = h(`tr${v.latest ? "" : ".old"}`,
      h("th.mono.cut", { scope: "row" }, v.deleted ? h("span.dim", v.key) : h("button.link", { type: "button", "aria-expanded": "false", title: v.key, onclick: (e) => expand(row, v, e.currentTarget) }, v.key)),
      h("td.mono.cut", { title: v.versionId }, v.versionId === "null" ? "–" : v.versionId || "–"),
      h("td", v.deleted ? h("span.tag.bad", "delete marker") : v.latest ? h("span.tag.ok", "current") : h("span.tag", "older")),
      h("td.num", v.deleted ? "–" : bytes(v.bytes)),
      h("td.mono.dim", moment(Date.parse(v.modified))));
    return row;
  });
  content.replaceChildren(
    h("div.bar", prefix,
      h("button.quiet.boxed", { type: "button", disabled: marks.length === 1, onclick: () => (marks.pop(), load()) }, "Previous"),
      h("button.quiet.boxed", { type: "button", disabled: !page.nextKey, onclick: () => (marks.push({ key: page.nextKey, version: page.nextVersion }), load()) }, "Next"),
      h("button.quiet.boxed", { type: "button", onclick: load }, "Reload"),
      h("span.dim", { role: "status" }, `Page ${marks.length}, ${plural(page.versions.length, "version")}`)),
    rows.length
      ? h("div.card.table", h("table.rows.even.versions", h("thead", h("tr", h("th", "Key"), h("th.version", "Version"), h("th.which"), h("th.num.size", "Size"), h("th.moment", "Written"))), h("tbody", rows)))
      : empty("Empty", "No objects" + (prefix.value ? " begin with that." : " here.")));
}

async function expand(row, v, button) {
  const opened = row.nextElementSibling?.classList.contains("inner") ? row.nextElementSibling : null;
  button.setAttribute("aria-expanded", String(!opened));
  if (opened) return opened.remove();
  const cell = h("td", { colspan: 5 }, h("p.dim", "Loading"));
  row.after(h("tr.inner", cell));
  const which = { key: v.key, version: v.versionId };
  try {
    const d = await fetchData(path("/object", which));
    const facts = { "Content type": d.contentType, ETag: d.etag, Storage: d.storage, ...d.metadata };
    cell.replaceChildren(
      h("h3", "Tags"),
      Object.keys(d.tags).length ? h("p", Object.entries(d.tags).map(([k, t]) => h("span.tag", `${k} = ${t}`))) : h("p.dim", "None"),
      h("dl.pairs", Object.entries(facts).filter(([, f]) => f).map(([k, f]) => [h("dt", k), h("dd", f)])),
      h("button.quiet.boxed", { type: "button", onclick: (e) => reveal(cell, which, e.currentTarget) }, "Show the content"));
  } catch (err) {
    cell.replaceChildren(h("p.bad", err.message));
  }
}

async function reveal(cell, which, button) {
  try {
    const c = await fetchData(path("/content", which));
    button.replaceWith(c.text === undefined ? h("p.dim", "It is not text.") : json(c.text), c.whole ? "" : h("p.dim", "Only the beginning is shown."));
  } catch (err) {
    button.replaceWith(h("p.bad", err.message));
  }
}
