// What the runtime said last, and how it is asked and told to do something.

/** state is what the runtime said last. */
export const state = {
  setting: JSON.parse(document.querySelector("meta[name=console]").content),
  now: Date.now(),
  functions: [],
  queues: [],
  traces: [],
  metrics: { series: [], leftOut: 0 },
  tables: null, // until the runtime says
  buckets: null,
  events: [], // the newest first
  total: 0,
  skipped: 0, // events of the last message that were only counted
};

/** fetchData asks the console for details; an answer that is an error is thrown. */
export async function fetchData(path, options) {
  const response = await fetch(path, options);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error ?? response.statusText);
  return answer;
}

/** change asks the console to do something, with the token of this run. */
export const change = (path) => fetchData(path, { method: "POST", headers: { "X-Console-Token": state.setting.token } });

/** toast tells how something went. */
export function toast(message, kind = "ok") {
  const el = document.getElementById("toast");
  el.className = `toast show ${kind}`;
  el.textContent = message;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => el.classList.remove("show"), 5000);
}
