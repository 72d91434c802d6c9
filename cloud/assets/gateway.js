// Live values, alarms, the history chart and commands of one gateway.
"use strict";
const gateway = document.getElementById("gateway").dataset.gateway;
const note = document.getElementById("plotnote");
let charted = null, minutes = 60, plot = null, points = null;

function ago(at) {
  if (!at) return "";
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(at)) / 1000));
  if (seconds < 2) return "now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}
function text(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "boolean") return value ? "on" : "off";
  if (typeof value === "number") return String(Math.round(value * 1000) / 1000);
  return String(value);
}
function rowOf(signal) {
  return document.querySelector(`tr[data-signal="${CSS.escape(signal)}"]`);
}

// Live values.
function onSample(sample) {
  const row = rowOf(sample.signal);
  if (!row) return;
  row.querySelector("output").textContent = text(sample.value);
  row.querySelector(".quality").textContent = sample.quality === "good" ? "" : sample.quality;
  row.querySelector("time").dataset.at = sample.at ?? "";
  row.classList.toggle("bad", sample.value === null);
  row.classList.remove("fresh");
  void row.offsetWidth;
  row.classList.add("fresh");
  if (sample.signal === charted) extend(sample);
}
function onAlarm(alarm) {
  const key = `${alarm.device}/${alarm.alarm}`;
  const list = document.getElementById("alarms");
  const known = list.querySelector(`[data-alarm="${CSS.escape(key)}"]`);
  if (alarm.state !== "active") { known?.remove(); return; }
  if (known) { known.querySelector("span").textContent = alarm.message; return; }
  const article = document.createElement("article");
  article.className = `alarm ${alarm.severity}`;
  article.dataset.alarm = key;
  const part = (tag, words) => { const node = document.createElement(tag); node.textContent = words; article.append(node); };
  part("b", alarm.severity);
  part("span", alarm.message);
  part("small", `${alarm.device} · ${alarm.signal}`);
  list.prepend(article);
}
function listen() {
  const stream = document.getElementById("stream");
  const events = new EventSource(`/v1/gateways/${gateway}/live`);
  events.onopen = () => { stream.textContent = "live"; };
  events.onerror = () => {
    stream.textContent = "reconnecting";
    // A refused stream is not tried again by the browser.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
  };
  events.addEventListener("sample", (event) => onSample(JSON.parse(event.data)));
  events.addEventListener("alarm", (event) => onAlarm(JSON.parse(event.data)));
}

// History.
function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  return { accent: of("--accent"), soft: of("--soft"), line: of("--line") };
}
function draw(unit) {
  const box = document.getElementById("plot");
  const { accent, soft, line } = colours();
  plot?.destroy();
  const axis = { stroke: soft, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
  const value = (_, number) => (number === null || number === undefined ? "–" : `${text(number)} ${unit}`);
  plot = new uPlot({
    width: box.clientWidth - 20, height: 260, cursor: { y: false },
    scales: { x: { time: true } }, axes: [axis, { ...axis, size: 56 }],
    series: [
      { label: "time" },
      { label: "max", stroke: "transparent", value },
      { label: "min", stroke: "transparent", value },
      { label: "mean", stroke: accent, width: 2, value, points: { show: false } },
    ],
    bands: [{ series: [1, 2], fill: `${accent}2e` }],
  }, points, box);
}
async function chart() {
  if (!charted) return;
  const wanted = charted;
  const row = rowOf(wanted);
  const [, device, signal] = wanted.split(".");
  document.getElementById("charted").textContent = `${device} · ${signal}`;
  const to = Date.now(), from = to - minutes * 60000;
  const answer = await fetch(`/v1/signals/${wanted}/summary?from=${from}&to=${to}&points=360`);
  if (answer.status === 401) return location.reload();
  if (wanted !== charted) return;
  if (!answer.ok) { note.textContent = "The history could not be read."; return; }
  const { items } = await answer.json();
  points = [[], [], [], []];
  for (const item of items) {
    points[0].push(Date.parse(item.at) / 1000);
    points[1].push(item.max);
    points[2].push(item.min);
    points[3].push(item.mean);
  }
  draw(row.dataset.unit);
  const bad = items.reduce((sum, item) => sum + item.bad, 0);
  const gone = bad ? ` · ${bad} without a value` : "";
  const count = items.reduce((sum, item) => sum + item.count, 0);
  note.textContent = count + bad ? `${count.toLocaleString("en")} samples${gone}` : "No samples in this range.";
}
function extend(sample) {
  if (!plot || !sample.at || typeof sample.value === "string") return;
  const at = Date.parse(sample.at) / 1000;
  const last = points[0].at(-1);
  if (last !== undefined && at <= last) return;
  const value = sample.value === null ? null : Number(sample.value);
  points[0].push(at);
  for (const series of [1, 2, 3]) points[series].push(value);
  while (points[0][0] < at - minutes * 60) points.forEach((series) => series.shift());
  plot.setData(points);
}
function choose(row) {
  document.querySelector("tr.chosen")?.classList.remove("chosen");
  row.classList.add("chosen");
  charted = row.dataset.signal;
  chart().catch(() => { note.textContent = "The history could not be read."; });
}
for (const button of document.querySelectorAll(".pick")) {
  button.addEventListener("click", () => choose(button.closest("tr")));
}
for (const button of document.querySelectorAll(".ranges button")) {
  button.addEventListener("click", () => {
    document.querySelector('.ranges [aria-pressed="true"]')?.removeAttribute("aria-pressed");
    button.setAttribute("aria-pressed", "true");
    minutes = Number(button.dataset.minutes);
    chart().catch(() => {});
  });
}
addEventListener("resize", () => plot?.setSize({ width: document.getElementById("plot").clientWidth - 20, height: 260 }));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (points) draw(rowOf(charted).dataset.unit); });

// Commands.
const form = document.getElementById("command");
function line(command) {
  const item = document.createElement("li");
  item.dataset.command = command.id;
  const part = (tag, words, name) => { const node = document.createElement(tag); node.textContent = words; if (name) node.className = name; item.append(node); };
  part("span", `${command.device} · ${command.signal} = ${text(command.value)}`);
  part("span", command.state, `outcome ${command.state}`);
  part("small", command.reason ?? (command.read_back === null ? "" : `read back ${text(command.read_back)}`));
  return item;
}
async function follow(command) {
  while (command.open) {
    const answer = await fetch(`/v1/commands/${command.id}?wait=30s`);
    if (!answer.ok) return;
    command = await answer.json();
    document.querySelector(`[data-command="${command.id}"]`)?.replaceWith(line(command));
    if (command.state === "unconfirmed") await new Promise((done) => setTimeout(done, 10000));
  }
}
function typed(kind, words) {
  if (kind === "bool") return /^(true|on|1)$/i.test(words) ? true : /^(false|off|0)$/i.test(words) ? false : words;
  if (kind === "text") return words;
  const number = Number(words.replace(",", "."));
  return words.trim() === "" || Number.isNaN(number) || !(Math.abs(number) <= Number.MAX_SAFE_INTEGER) ? words : number;
}
async function submit(event) {
  event.preventDefault();
  const option = form.signal.selectedOptions[0];
  const [device, signal] = option.value.split(".");
  const value = typed(option.dataset.kind, form.value.value);
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const answer = await fetch("/v1/commands", {
      method: "POST",
      headers: { "content-type": "application/json", "idempotency-key": crypto.getRandomValues(new Uint32Array(4)).join("-") },
      body: JSON.stringify({ gateway, device, signal, value, verify: form.verify.checked, ttl: "60s" }),
    });
    const body = await answer.json();
    const shown = answer.ok ? body : { id: "", device, signal, value, state: "refused", reason: body.detail, read_back: null };
    document.getElementById("commands").prepend(line(shown));
    if (answer.ok) { form.value.value = ""; follow(body).catch(() => {}); }
  } finally {
    button.disabled = false;
  }
}
form?.addEventListener("submit", submit);
for (const item of document.querySelectorAll('#commands [data-open="true"]')) {
  follow({ id: item.dataset.command, open: true }).catch(() => {});
}

function tick() {
  for (const time of document.querySelectorAll("time[data-at]")) time.textContent = ago(time.dataset.at);
}
setInterval(tick, 1000);
tick();
listen();
const first = document.querySelector('tr[data-kind]:not([data-kind="text"])');
if (first) choose(first);
