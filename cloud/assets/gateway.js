// Live values, alarms and commands of one gateway.
"use strict";
const heading = document.getElementById("gateway");
const gateway = heading.dataset.gateway;
// A refused or broken stream may come back at once; after this its values are old.
const STREAM_LOST_MS = 10000;
// What says something only when it changes is heard of every 15 minutes.
const SILENCE_MS = 16 * 60000;
const STATE_EVERY_MS = 5000;
// A value that rests this long and then changes is pointed at; others move all the time.
const RESTED_MS = 10000;
let online = heading.dataset.online === "true", lostAt = Date.now();

function plain(words) {
  return (words ?? "").replaceAll("`", "");
}
function text(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "boolean") return value ? "on" : "off";
  if (typeof value === "number") return String(Math.round(value * 1000) / 1000);
  return String(value);
}
// As many decimals as the signal has ever shown, so that its digits stay in place.
function steady(row, value) {
  const words = text(value);
  if (typeof value !== "number") return words;
  const decimals = Math.max(Number(row.dataset.decimals ?? 0), words.split(".")[1]?.length ?? 0);
  row.dataset.decimals = decimals;
  return Math.abs(value) < 1e15 ? value.toFixed(decimals) : words;
}
function rowOf(signal) {
  return document.querySelector(`tr[data-signal="${CSS.escape(signal)}"]`);
}
function part(parent, tag, words, name) {
  const node = document.createElement(tag);
  node.textContent = words;
  if (name) node.className = name;
  parent.append(node);
  return node;
}

// Live values.
function onSample(sample) {
  const row = rowOf(sample.signal);
  if (!row) return;
  const time = row.querySelector("time"), output = row.querySelector("output");
  const before = Date.parse(time.dataset.at), at = Date.parse(sample.at);
  if (at > before) row.dataset.gap = Math.max(Number(row.dataset.gap ?? 0), Math.min(at - before, SILENCE_MS));
  const words = steady(row, sample.value);
  if (output.textContent !== words) {
    const rested = Date.now() - Number(row.dataset.changed ?? 0) > RESTED_MS && row.dataset.changed !== undefined;
    row.dataset.changed = Date.now();
    output.textContent = words;
    if (rested) row.classList.add("fresh");
  } else if (row.dataset.changed === undefined) {
    row.dataset.changed = 0;
  }
  row.querySelector(".quality").textContent = sample.quality === "good" ? "" : sample.quality.replaceAll("_", " ");
  row.classList.toggle("bad", sample.value === null);
  setTime(time, sample.at);
  if (sample.signal === charted) extend(sample);
}
document.addEventListener("animationend", (event) => event.target.closest("tr.fresh")?.classList.remove("fresh"));
// A value is stale if nobody would tell us of another one, or if the next is long due.
function markStale() {
  const cut = !online || Date.now() - answeredAt > STREAM_LOST_MS || (lostAt !== null && Date.now() - lostAt > STREAM_LOST_MS);
  for (const row of document.querySelectorAll("tr[data-signal]")) {
    const { at } = row.querySelector("time").dataset;
    const gap = Number(row.dataset.gap ?? 0);
    const due = gap ? Math.max(30000, 3 * gap) : SILENCE_MS;
    const bad = row.classList.contains("bad");
    row.classList.toggle("stale", Boolean(at) && (cut || (!bad && Date.now() - Date.parse(at) > due)));
  }
}

// Alarms: told by the stream at once, and read where something may have been missed.
function alarmOf(key) {
  return document.querySelector(`[data-alarm="${CSS.escape(key)}"]`);
}
function showAlarm(alarm, at) {
  const key = `${alarm.device}/${alarm.alarm}`;
  let article = alarmOf(key);
  if (!article) {
    article = document.createElement("article");
    article.dataset.alarm = key;
    part(article, "b", "");
    part(article, "span", "");
    const small = part(article, "small", `${alarm.device} · ${alarm.signal} · since `);
    part(small, "time", "").dataset.absolute = "";
    document.getElementById("alarms").prepend(article);
  }
  article.className = `alarm ${alarm.severity}`;
  article.querySelector("b").textContent = alarm.severity;
  article.querySelector("span").textContent = alarm.message;
  const time = article.querySelector("time");
  if (!time.dataset.at || alarm.raised_at) setTime(time, at);
  return article;
}
async function readAlarms() {
  const answer = await fetch(`/v1/alarms?state=active&limit=100&gateway=${encodeURIComponent(gateway)}`);
  if (!answer.ok) return;
  const { items } = await answer.json();
  const active = new Set(items.map((alarm) => `${alarm.device}/${alarm.alarm}`));
  for (const article of document.querySelectorAll("[data-alarm]")) {
    // What is told and not yet committed cannot be in the list.
    if (!active.has(article.dataset.alarm) && article.dataset.provisional !== "true") article.remove();
  }
  for (const alarm of items.reverse()) showAlarm(alarm, alarm.raised_at).dataset.provisional = "false";
}
function onAlarm(alarm) {
  if (alarm.state === "active") {
    showAlarm(alarm, new Date().toISOString()).dataset.provisional = alarm.provisional;
  } else {
    alarmOf(`${alarm.device}/${alarm.alarm}`)?.remove();
  }
  if (!alarm.provisional) readAlarms().catch(() => {});
}

// The stream, and what it does not tell.
function listen() {
  const stream = document.getElementById("stream");
  const events = new EventSource(`/v1/gateways/${encodeURIComponent(gateway)}/live`);
  events.onopen = () => {
    stream.textContent = "live";
    lostAt = null;
    readAlarms().catch(() => {});
    if (charted) again();
  };
  events.onerror = () => {
    stream.textContent = "reconnecting, values are old";
    lostAt ??= Date.now();
    // A refused stream is not tried again by the browser.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
  };
  events.addEventListener("sample", (event) => onSample(JSON.parse(event.data)));
  events.addEventListener("alarm", (event) => onAlarm(JSON.parse(event.data)));
  events.addEventListener("missed", () => readAlarms().catch(() => {}));
}
async function readState() {
  const answer = await fetch(`/v1/gateways/${encodeURIComponent(gateway)}`);
  if (answer.status === 401) return location.reload();
  if (!answer.ok) throw new Error(answer.statusText);
  if (lostAt === null) document.getElementById("stream").textContent = "live";
  const known = await answer.json();
  const first = !document.querySelector("tr[data-signal]") && known.data_until;
  if (first) return location.reload();
  online = known.online;
  showState(document.getElementById("online"), online, known.last_seen_at);
  setTime(document.getElementById("data"), known.data_until);
  document.getElementById("contested").hidden = !known.contested;
}

// A stream can stay open and silent while the service behind it is gone.
let answeredAt = Date.now();
async function look() {
  if (document.hidden) { answeredAt = Date.now(); return; }
  try {
    await readState();
    answeredAt = Date.now();
  } catch {
    document.getElementById("stream").textContent = "the service does not answer, values are old";
  }
}
setInterval(look, STATE_EVERY_MS);
setInterval(markStale, 1000);
markStale();
listen();
const first = document.querySelector("tr[data-signal] .pick");
if (first) choose(first.closest("tr"));
