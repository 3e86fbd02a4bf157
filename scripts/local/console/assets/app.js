// The page: it follows the stream, keeps what was sent last, and hands it to the
// view that is open. A view is {title, mount(main, args), update(changed), unmount()}.
import { text, count } from "./dom.js";
import { state } from "./runtime.js";
import * as functions from "./functions.js";
import * as queues from "./queues.js";
import * as bus from "./bus.js";
import * as traces from "./traces.js";
import * as metrics from "./metrics.js";
import * as tables from "./tables.js";
import * as buckets from "./buckets.js";

const views = { functions, queues, bus, traces, metrics, tables, buckets };

const keptEvents = 500;
const byId = (id) => document.getElementById(id);
const main = byId("main");
let open = null;

function route() {
  const [name, ...args] = location.hash.replace(/^#\//, "").split("/").map(decodeURIComponent);
  const view = views[name] ?? functions;
  if (open === view && view.navigate) {
    view.navigate(args);
  } else {
    open?.unmount?.();
    main.replaceChildren();
    open = view;
    view.mount(main, args);
    view.update(new Set(["functions", "queues", "traces", "metrics", "tables", "buckets", "events"]));
  }
  text(byId("title"), view.title);
  document.title = `${view.title} · Stowage console`;
  for (const a of document.querySelectorAll(".side nav a")) {
    if (views[a.hash.slice(2)] === view) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
}

const rates = { events: [], invocations: [] };

/** rate is the growth of a total a second, over the last three. */
function rate(samples, total) {
  samples.push([state.now, total]);
  while (samples.length > 2 && samples[0][0] < state.now - 3000) samples.shift();
  const [since, before] = samples[0];
  return state.now > since ? ((total - before) * 1000) / (state.now - since) : 0;
}

const rounded = (n) => (n > 0 && n < 10 ? n.toFixed(1) : count(Math.round(n)));

function summarize() {
  const invocations = state.functions.reduce((sum, f) => sum + f.invocations, 0);
  text(byId("rate-events"), rounded(rate(rates.events, state.total)));
  text(byId("rate-invocations"), rounded(rate(rates.invocations, invocations)));
  badge("functions", state.functions.reduce((sum, f) => sum + f.failed.reduce((a, b) => a + b, 0), 0), "failed in the last minute");
  badge("queues", state.queues.reduce((sum, q) => sum + (q.sources ? q.visible + q.inFlight : 0), 0), "dead letters");
}

function badge(name, n, what) {
  const el = document.querySelector(`[data-badge=${name}]`);
  text(el, n ? count(n) : "");
  if (n) el.setAttribute("aria-label", `${n} ${what}`);
  else el.removeAttribute("aria-label");
}

/** offset is how far the runtime's clock is ahead of the page's. */
let offset = 0;

function take(message) {
  if (message.run && message.run !== state.setting.run) return location.reload(); // the token is of a run that has ended
  offset = message.now - Date.now();
  state.now = message.now;
  if (message.first) {
    state.events = [];
    rates.events = [];
    rates.invocations = [];
  }
  const changed = new Set(Object.keys(message.changed ?? {}));
  Object.assign(state, message.changed);
  state.total = message.total;
  state.skipped = message.first ? 0 : (message.skipped ?? 0);
  if (message.events) {
    state.fresh = message.events;
    state.events = message.events.toReversed().concat(state.events).slice(0, keptEvents);
    changed.add("events");
  }
  open?.update(changed);
  state.fresh = null;
  state.skipped = 0;
  summarize();
}

function follow() {
  const stream = new EventSource("/stream");
  stream.onopen = () => live("Live", "on");
  stream.onmessage = (e) => take(JSON.parse(e.data));
  stream.onerror = () => {
    live("Reconnecting", "off");
    if (stream.readyState === EventSource.CLOSED) setTimeout(follow, 2000);
  };
}

function live(label, kind) {
  text(byId("live"), label);
  byId("live").className = "live " + kind;
}

function theme() {
  const saved = localStorage.getItem("theme");
  if (saved) document.documentElement.dataset.theme = saved;
  byId("theme").addEventListener("click", () => {
    const dark = document.documentElement.dataset.theme
      ? document.documentElement.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("theme", document.documentElement.dataset.theme);
  });
}

theme();
addEventListener("hashchange", route);
// Idle time also goes by: rates fall, and ages rise.
setInterval(() => {
  state.now = Date.now() + offset;
  summarize();
  open?.update(new Set(["time"]));
}, 1000);
route();
follow();
