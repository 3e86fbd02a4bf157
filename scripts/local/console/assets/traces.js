import { h, text, keyed, millis, plural, clock, json, empty } from "./dom.js";
import { state, fetchData } from "./runtime.js";

export const title = "Traces";

let list, detail, shown, seen, filter;

export function mount(main, [id]) {
  list = h("div.list");
  filter = h("input", { type: "search", placeholder: "Filter traces", "aria-label": "Filter traces", oninput: rows });
  detail = h("section.trace", { "aria-label": "Waterfall" });
  main.append(h("div.split", h("div.card.pick", h("div.bar", filter), list), detail));
  show(id);
}

export const navigate = ([id]) => show(id);
export const unmount = () => (shown = null);

export function update(changed) {
  if (!changed.has("traces")) return;
  rows();
  if (!shown && state.traces.length) return;
  const t = state.traces.find((one) => one.id === shown);
  if (t && stamp(t) !== seen) load(t.id);
}

const stamp = (t) => t.segments + "/" + t.millis;

function rows() {
  const wanted = filter.value.trim().toLowerCase();
  const found = state.traces.filter((t) => !wanted || t.name.toLowerCase().includes(wanted) || t.id.includes(wanted));
  keyed(list, found, (t) => t.id, create, (el, t) => {
    text(el.querySelector(".took"), millis(t.millis));
    text(el.querySelector(".title"), shorten(t.name));
    text(el.querySelector(".meta"), `${clock(Date.parse(t.start))} · ${plural(t.services, "service")} · ${plural(t.segments, "segment")}`);
    el.classList.toggle("failed", t.failed);
    if (t.id === shown) el.setAttribute("aria-current", "true");
    else el.removeAttribute("aria-current");
  });
}

/** shorten leaves ids in a path recognizable, but no longer than the rest of it. */
const shorten = (name) => name.replace(/(?<=\/)[^/\s]{20,}/g, (id) => id.slice(0, 4) + "…" + id.slice(-4));

const create = (t) => h("a.pickrow", { href: "#/traces/" + t.id, title: t.name }, h("span.title"), h("span.took"), h("span.meta.dim"));

function show(id) {
  shown = id;
  seen = null;
  rows();
  if (id) load(id);
  else detail.replaceChildren(empty("Choose a trace", "Each request, and each message that no request led to, is a trace across the functions that it reached."));
}

let loading = false;

async function load(id) {
  if (loading) return;
  loading = true;
  try {
    const trace = await fetchData("/data/traces/" + encodeURIComponent(id));
    if (shown === id) {
      const t = state.traces.find((one) => one.id === id);
      seen = t && stamp(t);
      render(trace);
    }
  } catch (err) {
    if (shown === id) detail.replaceChildren(empty("Not kept", err.message));
  } finally {
    loading = false;
    if (shown && shown !== id) load(shown);
  }
}

/** ticks are round times that divide a duration into at least some parts. */
function ticks(total) {
  const rough = total / 7;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * unit).find((n) => n >= rough);
  const at = [];
  for (let t = 0; t <= total; t += step) at.push(t);
  return at;
}

function render(trace) {
  const total = Math.max(trace.millis, 0.01);
  const share = (ms) => (ms / total) * 100 + "%";
  const times = ticks(total);
  const scale = h("div.scale", { "aria-hidden": "true" }, times.map((t) => h("span", { style: { left: share(t) } }, millis(t))));
  const lines = h("div.lines", { "aria-hidden": "true" }, h("span"), h("div", times.map((t) => h("i", { style: { left: share(t) } }))));
  const facts = h("section.facts", { "aria-label": "Segment" });
  const body = h("div.waterfall", { role: "list" }, trace.rows.map((r) => bar(r, share, facts)));
  const services = trace.rows.filter((r) => r.kind === "service");
  detail.replaceChildren(
    h("div.card",
      h("h2", services[0]?.name ?? trace.rows[0].name, h("span.dim", ` ${millis(trace.millis)}`)),
      h("p.dim.ids", h("code", trace.id), ` · ${clock(trace.start * 1000)} · ${plural(services.length, "service")} · ${plural(trace.rows.length, "segment")}`, trace.dropped ? ` · ${trace.dropped} more were not kept` : ""),
      legend(),
      h("div.water", lines, h("div.scalebar", h("span"), scale), body)),
  );
}

const legend = () => h("p.legend", { "aria-hidden": "true" },
  ...[["service", "function or service"], ["call", "call to AWS"], ["step", "step in the code"], ["fault", "failed"]].map(([k, label]) => h("span", h("i." + k), label)));

function bar(r, share, facts) {
  const name = r.kind === "call" && r.operation ? `${r.name} ${r.operation}` : r.name;
  const label = `${name}, ${millis(r.millis)}, ${millis(r.offset)} after the start${r.outcome === "ok" ? "" : ", " + r.outcome}`;
  const fill = h(`span.fill.${r.kind}.${r.outcome}`, { style: { left: share(r.offset), width: `max(3px, ${share(r.millis)})` } });
  const late = r.offset / (parseFloat(share(1)) ? 100 / parseFloat(share(1)) : 1) > 0.7;
  const row = h("button.wrow", { type: "button", "aria-expanded": "false", "aria-label": label, onclick: () => showFacts(r, row, facts) },
    h("span.wname", { style: { "--depth": Math.min(r.depth, 12) }, title: name }, h("i.dot." + r.kind + "." + r.outcome), h("span.cut", name), r.status ? h("span.status", { "data-class": String(r.status)[0] }, r.status) : null),
    h("span.wbar", fill, h("span.wtook" + (late ? ".before" : ""), { style: late ? { right: `calc(100% - ${share(r.offset)} + 6px)` } : { left: `calc(${share(r.offset)} + max(3px, ${share(r.millis)}) + 6px)` } }, millis(r.millis))));
  return h("div", { role: "listitem" }, row);
}

/** showFacts opens what is known of a segment below its row, or closes it. */
function showFacts(r, row, facts) {
  const opened = row.getAttribute("aria-expanded") === "true";
  facts.remove();
  for (const el of row.closest(".waterfall").querySelectorAll("[aria-expanded=true]")) el.setAttribute("aria-expanded", "false");
  if (opened) return;
  row.setAttribute("aria-expanded", "true");
  row.after(facts);
  const pairs = { Segment: r.id, Origin: r.origin, Outcome: r.outcome, Began: "+" + millis(r.offset), Took: millis(r.millis), Status: r.status, ...r.aws, ...r.annotations };
  facts.replaceChildren(
    r.message ? h("p.bad.message", r.message) : "",
    h("dl.pairs", Object.entries(pairs).filter(([, v]) => v !== undefined && v !== "").map(([k, v]) => [h("dt", k), h("dd", typeof v === "object" ? json(v) : String(v))])));
}
