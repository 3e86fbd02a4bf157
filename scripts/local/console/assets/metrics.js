import { h, s, text, keyed, count, millis, bytes, empty } from "./dom.js";
import { state } from "./runtime.js";

export const title = "Metrics";

let grid, filter, none;

export function mount(main) {
  filter = h("input", { type: "search", placeholder: "Filter metrics", "aria-label": "Filter metrics", oninput: draw });
  grid = h("div.grid");
  none = empty("No metrics yet", "Functions write them to their logs, in CloudWatch's embedded format.");
  main.append(h("div.bar", filter), none, grid);
}

export function update(changed) {
  if (changed.has("metrics")) draw();
}

const value = (unit, v) => (unit === "Milliseconds" ? millis(v) : unit === "Bytes" ? bytes(v) : Number.isInteger(v) ? count(v) : v.toFixed(2));
const key = (m) => [m.namespace, m.name, m.unit, ...m.dimensions.flatMap((d) => [d.name, d.value])].join("\n");

function draw() {
  const wanted = filter.value.trim().toLowerCase();
  const found = state.metrics.series.filter((m) => !wanted || key(m).toLowerCase().includes(wanted));
  none.hidden = found.length > 0;
  keyed(grid, found, key, create, (el, m) => {
    text(el.querySelector(".figure"), m.unit === "Count" ? count(m.sum) : value(m.unit, m.count ? m.sum / m.count : 0));
    text(el.querySelector(".note"), m.unit === "Count" ? "in all" : `average of ${count(m.count)} · ${value(m.unit, m.min)} to ${value(m.unit, m.max)}`);
    area(el.querySelector("svg"), m.points);
  });
}

function create(m) {
  const label = (d) => (d.name === "function" ? d.value.split("-").at(-1) : `${d.name}: ${d.value}`);
  return h("article.card.metric",
    h("h2", m.name, h("span.dim", " " + m.namespace)),
    h("p", m.dimensions.map((d) => h("span.tag", { title: `${d.name}: ${d.value}` }, label(d)))),
    h("p", h("strong.figure"), " ", h("span.note.dim")),
    s("svg", { viewBox: "0 0 240 48", preserveAspectRatio: "none", role: "img", "aria-label": `${m.name} over the last two minutes` },
      s("path", { class: "area" }), s("path", { class: "line" })));
}

function area(svg, points) {
  const max = Math.max(...points, 1e-9);
  const step = 240 / (points.length - 1);
  const line = points.map((p, i) => `${i ? "L" : "M"}${(i * step).toFixed(1)} ${(46 - (p / max) * 42).toFixed(1)}`).join("");
  svg.querySelector(".line").setAttribute("d", line);
  svg.querySelector(".area").setAttribute("d", `${line}L240 48L0 48Z`);
}
