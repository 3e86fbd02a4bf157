import { h, text, breakable, keyed, count, plural, ago, bytes, json, empty } from "./dom.js";
import { state, fetchData, change, toast } from "./runtime.js";

export const title = "Queues";

let body, detail, shown, seen;

export function mount(main, [name]) {
  body = h("tbody");
  detail = h("section.detail.one", { "aria-label": "Messages", hidden: true });
  main.append(
    h("div.card.table",
      h("table.rows",
        h("thead", h("tr", h("th", "Queue"), ...["Waiting", "In flight", "Delayed"].map((n) => h("th.num", n)), h("th", "Oldest"), h("th", "Dead letters"), h("th.actions"))),
        body)),
    detail);
  show(name);
}

export const navigate = ([name]) => show(name);
export const unmount = () => (shown = null);

function create(q) {
  const last = h("td.actions");
  if (q.sources) {
    last.append(h("button.redrive", {
      type: "button", "data-queue": q.name, title: "Send the messages back to " + q.sources.join(", "),
      onclick: (e) => redrive(q, e.currentTarget),
    }, "Redrive"));
  }
  return h("tr",
    h("th.words", { scope: "row" }, h("a.name", { href: "#/queues/" + encodeURIComponent(q.name), title: q.name }, breakable(q.label))),
    ...["visible", "inflight", "delayed"].map((n) => h(`td.num.${n}`)),
    h("td.oldest"),
    h("td.words", q.sources ? h("span.tag.bad", "dead letters of ", breakable(q.sources.join(", "))) : h("span.dim", q.deadLetter ? ["→ ", breakable(q.deadLetter)] : "none")),
    last);
}

function update(row, q) {
  const set = (name, value) => text(row.querySelector("." + name), value);
  set("visible", count(q.visible));
  set("inflight", count(q.inFlight));
  set("delayed", count(q.delayed));
  set("oldest", q.oldest ? ago(q.oldest, state.now) : "–");
  row.querySelector(".visible").classList.toggle("bad", Boolean(q.sources) && q.visible > 0);
  row.classList.toggle("selected", q.name === shown);
  const button = row.querySelector(".redrive");
  if (button) button.disabled = q.visible === 0;
}

export { refresh as update };

function rows() {
  // Where dead letters go may change while the page is open: that is another row.
  keyed(body, state.queues, (q) => [q.name, q.deadLetter, ...(q.sources ?? [])].join(" "), create, update);
}

function refresh(changed) {
  if (!changed.has("queues") && !changed.has("time")) return;
  rows();
  const q = state.queues.find((one) => one.name === shown);
  if (q && stamp(q) !== seen) load(q);
}

const messages = (n) => plural(n, "message");
const stamp = (q) => [q.visible, q.inFlight, q.delayed, q.oldest].join();

function show(name) {
  shown = name;
  seen = null;
  detail.hidden = !name;
  detail.replaceChildren();
  rows();
  const q = state.queues.find((one) => one.name === name);
  if (q) load(q);
}

let loading = false;

async function load(q) {
  if (loading) return;
  loading = true;
  try {
    const d = await fetchData("/data/queues/" + encodeURIComponent(q.name));
    if (shown === q.name) {
      seen = stamp(q);
      render(q, d);
    }
  } catch (err) {
    detail.replaceChildren(empty("Could not load", err.message));
  } finally {
    setTimeout(() => (loading = false), 500);
  }
}

function render(q, d) {
  const opened = new Set([...detail.querySelectorAll("details[open]")].map((el) => el.dataset.id));
  const list = d.messages.map((m, i) => {
    const trace = /Root=([^;]+)/.exec(m.attributes?.AWSTraceHeader ?? "");
    return h("details.message", { "data-id": m.id, open: opened.has(m.id) || (opened.size === 0 && i === 0) },
      h("summary", h("code", m.id), h("span.dim", ago(m.sent, state.now)), h("span.dim", `received ${m.receives}×`), h("span.dim", bytes(m.bytes)),
        trace && h("a", { href: "#/traces/" + trace[1] }, "trace")),
      m.attributes && Object.keys(m.attributes).length > 0 && h("dl.pairs", Object.entries(m.attributes).map(([k, v]) => [h("dt", k), h("dd", v)])),
      json(m.body));
  });
  detail.replaceChildren(h("div.card",
    h("h2", q.label, h("span.dim", " " + (d.messages.length === d.limit ? `oldest ${d.limit} messages` : messages(d.messages.length)))),
    list.length ? list : empty("Empty", q.sources ? "No dead letters: everything was delivered." : "Nothing waits here.")));
}

async function redrive(q, button) {
  button.disabled = true;
  try {
    const { moved } = await change(`/data/queues/${encodeURIComponent(q.name)}/redrive`);
    toast(`Sent ${messages(moved)} back to ${q.sources.length === 1 ? q.sources[0] : moved === 1 ? "where it came from" : "where they came from"}`);
  } catch (err) {
    toast(err.message, "bad");
  }
}
