import { h, text, clock, count, json, bytes } from "./dom.js";
import { state, fetchData } from "./runtime.js";

export const title = "Bus";

const shownRows = 200;
let list, filter, pause, note, detail, paused, held, missed;

export function mount(main) {
  paused = false;
  held = missed = 0;
  list = h("tbody");
  filter = h("input", { type: "search", placeholder: "Filter by type, source or subject", "aria-label": "Filter events", oninput: redraw });
  pause = h("button.quiet.boxed", { type: "button", "aria-pressed": "false", onclick: toggle }, "Pause");
  note = h("span.dim", { role: "status" });
  detail = h("section.detail.one", { "aria-label": "Event", hidden: true });
  main.append(
    h("div.bar", filter, pause, note),
    detail,
    h("div.card.table.stream", h("table.rows.even",
      h("thead", h("tr", h("th.time", "Time"), h("th.bus", "Bus"), h("th.source", "Source"), h("th.type", "Type"), h("th", "Subject"), h("th.num.count", "Targets"))), list)));
}

export const navigate = () => {};
export const unmount = () => (list = null);

export function update(changed) {
  if (!changed.has("events")) return;
  missed += state.skipped;
  if (paused) held += state.fresh?.length ?? 0;
  else if (!state.fresh) redraw();
  else prepend(state.fresh);
  describe();
}

function describe() {
  const parts = [`${count(state.total)} so far`];
  if (missed) parts.push(`${count(missed)} came too fast to list`);
  if (paused) parts.unshift(`paused, ${count(held)} more`);
  text(note, parts.join(" · "));
}

function toggle() {
  paused = !paused;
  held = 0;
  pause.setAttribute("aria-pressed", paused);
  text(pause, paused ? "Resume" : "Pause");
  if (!paused) redraw();
  describe();
}

function matches(e) {
  const wanted = filter.value.trim().toLowerCase();
  return !wanted || [e.detailType, e.source, e.bus, e.subject ?? ""].some((v) => v.toLowerCase().includes(wanted));
}

function redraw() {
  list.replaceChildren(...state.events.filter(matches).slice(0, shownRows).map(row));
}

/** prepend adds what is new, and removes as many at the end. */
function prepend(events) {
  const fresh = events.filter(matches).reverse().slice(0, shownRows).map(row);
  list.prepend(...fresh);
  while (list.childElementCount > shownRows) list.lastElementChild.remove();
}

const row = (e) => h("tr",
  h("td.mono.dim", clock(e.time)),
  h("td.cut", { title: e.bus }, e.bus),
  h("td.dim.cut", { title: e.source }, e.source),
  h("td", h("button.link", { type: "button", title: e.detailType, onclick: () => show(e) }, e.detailType)),
  h("td.mono.dim.cut", { title: e.subject ?? "" }, e.subject ?? ""),
  h("td.num", e.deliveries || h("span.dim", "none")));

async function show(e) {
  paused || toggle();
  detail.hidden = false;
  let content;
  try {
    const d = await fetchData("/data/events/" + e.seq);
    content = d.raw ? json(d.raw) : h("p.empty", "The event is too long to be kept here; the file of all events has it.");
  } catch (err) {
    content = h("p.empty", err.message);
  }
  detail.replaceChildren(h("div.card", h("h2", e.detailType, h("span.dim", ` ${bytes(e.bytes)}`),
    h("button.quiet.close", { type: "button", "aria-label": "Close the event", onclick: () => (detail.hidden = true) }, "Close")), content));
  detail.scrollIntoView({ block: "nearest" });
}
