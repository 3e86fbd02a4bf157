// Small tools to build the page. Text is only ever set as text, so that nothing
// in a payload can become markup.

/** h makes an element: h("a.link", {href}, "text", child, ...). */
export function h(spec, ...rest) {
  const [tag, ...classes] = spec.split(".");
  const el = document.createElement(tag || "div");
  if (classes.length) el.className = classes.join(" ");
  for (const part of rest) add(el, part);
  return el;
}

function add(el, part) {
  if (part == null || part === false) return;
  if (Array.isArray(part)) part.forEach((p) => add(el, p));
  else if (part instanceof Node) el.append(part);
  else if (typeof part === "object") attributes(el, part);
  else el.append(String(part));
}

function attributes(el, all) {
  for (const [name, value] of Object.entries(all)) {
    if (value == null || value === false) continue;
    if (name.startsWith("on")) el.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [k, v] of Object.entries(value)) el.style.setProperty(k, v);
    else el.setAttribute(name, value === true ? "" : value);
  }
}

const svgSpace = "http://www.w3.org/2000/svg";

/** s makes an SVG element. */
export function s(tag, all = {}, ...children) {
  const el = document.createElementNS(svgSpace, tag);
  for (const [name, value] of Object.entries(all)) el.setAttribute(name, value);
  el.append(...children);
  return el;
}

/** breakable is a name that may go on in the next line where a word of it begins. */
export const breakable = (name) => name.split(/(?<=[-._/])|(?<=[a-z0-9])(?=[A-Z])/).flatMap((word, i) => (i ? [h("wbr"), word] : [word]));

/** text sets an element's text if it differs, which spares the browser work. */
export function text(el, value) {
  const wanted = String(value);
  if (el.textContent !== wanted) el.textContent = wanted;
}

/** keyed makes a container's children fit a list, reusing those of the same key. */
export function keyed(container, list, key, create, update) {
  const old = new Map();
  for (const el of container.children) old.set(el.dataset.key, el);
  let at = container.firstElementChild;
  for (const item of list) {
    const k = String(key(item));
    let el = old.get(k);
    if (el) old.delete(k);
    else {
      el = create(item);
      el.dataset.key = k;
    }
    update?.(el, item);
    if (el === at) at = at.nextElementSibling;
    else container.insertBefore(el, at);
  }
  for (const el of old.values()) el.remove();
}

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const whole = new Intl.NumberFormat("en");

export const count = (n) => (n < 10000 ? whole.format(n) : compact.format(n));

/** plural counts things. */
export const plural = (n, thing) => `${count(n)} ${thing}${n === 1 ? "" : "s"}`;

export function millis(ms) {
  if (ms === 0) return "0";
  if (ms < 0.1) return (ms * 1000).toFixed(0) + " µs";
  if (ms < 10) return ms.toFixed(1) + " ms";
  if (ms < 1000) return ms.toFixed(0) + " ms";
  if (ms < 60000) return (ms / 1000).toFixed(2) + " s";
  return (ms / 60000).toFixed(1) + " min";
}

export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (n >= 1024 && at < units.length - 1) {
    n /= 1024;
    at++;
  }
  return (at === 0 ? n : n.toFixed(1)) + " " + units[at];
}

export const clock = (ms) => {
  const d = new Date(ms);
  return d.toLocaleTimeString("en-GB") + "." + String(d.getMilliseconds()).padStart(3, "0");
};

export const moment = (ms) => new Date(ms).toLocaleString("en-GB", { day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });

export function ago(ms, now) {
  const seconds = Math.max(0, Math.round((now - ms) / 1000));
  if (seconds < 2) return "just now";
  if (seconds < 60) return seconds + " s ago";
  if (seconds < 3600) return Math.round(seconds / 60) + " min ago";
  if (seconds < 86400) return Math.round(seconds / 3600) + " h ago";
  return Math.round(seconds / 86400) + " d ago";
}

/** spark updates a bar chart of counts; failed ones stand in another colour. */
export function spark(el, values, failed) {
  const max = Math.max(1, ...values);
  if (el.childElementCount !== values.length * 2) {
    el.replaceChildren();
    values.forEach((_, i) => {
      for (const kind of ["ok", "bad"]) el.append(s("rect", { class: kind, x: i * 3, width: 2, y: 24, height: 0 }));
    });
  }
  values.forEach((v, i) => {
    const bad = failed ? failed[i] : 0;
    const top = v ? Math.max(1.5, (v / max) * 23) : 0;
    const low = bad ? Math.max(1.5, (bad / max) * 23) : 0;
    bar(el.children[i * 2], top);
    bar(el.children[i * 2 + 1], low);
  });
}

function bar(rect, height) {
  const wanted = height.toFixed(1);
  if (rect.getAttribute("height") === wanted) return;
  rect.setAttribute("height", wanted);
  rect.setAttribute("y", (24 - height).toFixed(1));
}

export const newSpark = (n, label) => s("svg", { class: "spark", viewBox: `0 0 ${n * 3} 24`, preserveAspectRatio: "none", role: "img", "aria-label": label });

/** json shows a value, or text that holds JSON, with its parts coloured. */
export function json(value) {
  let parsed = value;
  if (typeof value === "string") {
    try {
      parsed = JSON.parse(value);
    } catch {
      return h("pre.json", { tabindex: 0 }, value);
    }
  }
  const pre = h("pre.json", { tabindex: 0 });
  const source = JSON.stringify(parsed, null, 2) ?? "";
  const token = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
  let last = 0;
  for (const m of source.matchAll(token)) {
    pre.append(source.slice(last, m.index));
    const kind = m[1] ? (m[2] ? "key" : "str") : /^[-\d]/.test(m[0]) ? "num" : "lit";
    pre.append(h("span." + kind, m[1] ?? m[0]), m[2] ?? "");
    last = m.index + m[0].length;
  }
  pre.append(source.slice(last));
  return pre;
}

export const empty = (title, detail) => h("div.empty", h("strong", title), detail && h("p", detail));
