import { h, text, breakable, keyed, count, millis, ago, clock, spark, newSpark, empty } from "./dom.js";
import { state, fetchData } from "./runtime.js";

export const title = "Functions";

let body, detail, shown, opened;

export function mount(main, [name]) {
  body = h("tbody");
  detail = h("section.detail", { "aria-label": "Details", hidden: true });
  main.append(
    h("div.card.table",
      h("table.rows",
        h("thead", h("tr", h("th", "Function"), h("th.chart", "Last minute"), ...["Invocations", "Errors", "p50", "p99", "Cold", "Memory"].map((n) => h("th.num", n)), h("th", "Last"))),
        body)),
    detail);
  show(name);
}

export const navigate = ([name]) => show(name);
export const unmount = () => (shown = null);

function create(f) {
  const row = h("tr",
    h("th.words", { scope: "row" }, h("a.name", { href: "#/functions/" + encodeURIComponent(f.name), title: f.name }, breakable(f.label))),
    h("td.chart", newSpark(f.spark.length, `Invocations of ${f.label} in each of the last ${f.spark.length} seconds`)),
    ...["invocations", "errors", "p50", "p99", "cold", "memory"].map((n) => h(`td.num.${n}`)),
    h("td.last"));
  return row;
}

function update(row, f) {
  const set = (name, value) => text(row.querySelector("." + name), value);
  spark(row.querySelector(".spark"), f.spark, f.failed);
  set("invocations", count(f.invocations));
  set("errors", f.errors ? count(f.errors) : "–");
  row.querySelector(".errors").classList.toggle("bad", f.errors > 0);
  set("p50", f.invocations ? millis(f.p50) : "–");
  set("p99", f.invocations ? millis(f.p99) : "–");
  set("cold", f.coldStarts ? count(f.coldStarts) : "–");
  set("memory", f.memoryMb ? f.memoryMb + " MB" : "–");
  set("last", f.last ? ago(f.last, state.now) : "never");
  row.classList.toggle("selected", f.name === shown);
}

function rows() {
  keyed(body, state.functions, (f) => f.name, create, update);
}

export { refresh as update };

function refresh(changed) {
  if (!changed.has("functions") && !changed.has("time")) return;
  rows();
  const f = state.functions.find((one) => one.name === shown);
  if (f && f.invocations !== opened) load(f);
}

function show(name) {
  shown = name;
  opened = null;
  detail.hidden = !name;
  detail.replaceChildren();
  rows();
  const f = state.functions.find((one) => one.name === name);
  if (f) load(f);
}

let loading = false;

/** load shows a function's errors and log, at most one request at a time. */
async function load(f) {
  if (loading) return;
  loading = true;
  try {
    const d = await fetchData("/data/functions/" + encodeURIComponent(f.name));
    if (shown === f.name) {
      opened = f.invocations;
      render(f, d);
    }
  } catch (err) {
    detail.replaceChildren(empty("Could not load", err.message));
  } finally {
    setTimeout(() => (loading = false), 1000);
  }
}

function render(f, d) {
  const log = h("pre.log", { tabindex: 0 }, d.log.map(logLine));
  const failures = d.failures.length
    ? h("ul.failures", d.failures.map((e) => h("li",
        h("div", h("strong", e.type || "Error"), h("time", clock(Date.parse(e.time))), h("span.dim", millis(e.millis)),
          e.traceId && h("a", { href: "#/traces/" + e.traceId }, "trace")),
        h("p", e.message || "The function gave no message."))))
    : empty("No errors", "Nothing has failed since the runtime was started.");
  detail.replaceChildren(
    h("div.card", h("h2", "Last errors", h("span.dim", " " + f.label)), failures),
    h("div.card", h("h2", "Log", h("span.dim", ` latest ${d.log.length} lines`)), d.log.length ? log : empty("Nothing logged yet")));
  log.scrollTop = log.scrollHeight;
}

const plain = (v) => (typeof v === "string" && !/[\s"=]/.test(v) ? v : JSON.stringify(v));

/** logLine shows the platform's lines dimmed, and structured ones as a sentence with its attributes. */
function logLine(line) {
  if (/^(START|END|REPORT|INIT_REPORT) /.test(line)) return h("span.dim", line + "\n");
  let record = null;
  try {
    record = JSON.parse(line);
  } catch {
    // not every line is structured
  }
  if (!record?.message) return h("span", line + "\n");
  const { timestamp, level, message, ...rest } = record;
  const kind = { ERROR: ".bad", FATAL: ".bad", WARN: ".warn" }[level] ?? ".dim";
  return h("span", h("span.dim", timestamp ? clock(Date.parse(timestamp)) + " " : ""), h("span" + kind, (level ?? "").padEnd(5) + " "), h("b", message),
    Object.entries(rest).map(([k, v]) => [" ", h("span.key", k + "="), plain(v)]), "\n");
}
