// The history of one signal, as it was and as it goes on.
"use strict";
const POINTS = 360;
const note = document.getElementById("plotnote");
const plotBox = document.getElementById("plot");
// Slots of equal width: begin, min, max, mean, counts; a slot without a value breaks the line.
let charted = null, minutes = 60, plot = null, slots = [], width = 1, complete = false;

function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  return { accent: of("--accent"), soft: of("--soft"), line: of("--line") };
}
function median(numbers) {
  return numbers.sort((a, b) => a - b)[numbers.length >> 1] ?? 0;
}
// Where samples are missing for longer than usual, no line claims to know what was there.
function series() {
  const steps = slots.slice(1).map((slot, at) => slot.at - slots[at].at);
  const longest = Math.max(4 * width, 3 * median(steps));
  const columns = [[], [], [], []];
  const push = (at, min, max, mean) => [at / 1000, min, max, mean].forEach((value, column) => columns[column].push(value));
  slots.forEach((slot, place) => {
    const last = slots[place - 1];
    if (last && slot.at - last.at > longest) push(last.at + width, null, null, null);
    push(slot.at, slot.min, slot.max, slot.mean);
  });
  return columns;
}
function range() {
  const to = Date.now();
  return [to / 1000 - minutes * 60, to / 1000];
}
function clock(seconds, step) {
  if (step >= 43200) return new Date(seconds * 1000).toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  const options = { hour: "2-digit", minute: "2-digit" };
  if (step < 60) options.second = "2-digit";
  return new Date(seconds * 1000).toLocaleTimeString("en-GB", options);
}
function draw(row) {
  const { unit, kind } = row.dataset;
  const { accent, soft, line } = colours();
  plot?.destroy();
  const bool = kind === "bool";
  const axis = { stroke: soft, font: "12px system-ui, sans-serif", grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
  const worded = (number) => (bool && Number.isInteger(number) ? text(number === 1) : text(number));
  const value = (_, number) => (number === null || number === undefined ? "–" : `${worded(number)} ${unit}`.trim());
  const paths = bool ? uPlot.paths.stepped({ align: 1 }) : undefined;
  const side = {
    ...axis, size: 64,
    values: (_, splits) => splits.map((split) => (bool ? worded(split) : split.toLocaleString("en", { maximumFractionDigits: 3 }).replaceAll(",", "\u202f"))),
    ...(bool ? { splits: () => [0, 1] } : {}),
  };
  plot = new uPlot({
    width: plotBox.clientWidth - 20, height: 260, cursor: { y: false },
    scales: { x: { time: true, range }, y: bool ? { range: [-0.1, 1.1] } : {} },
    axes: [{ ...axis, space: 64, values: (_, splits, __, ___, step) => splits.map((split) => clock(split, step)) }, side],
    series: [
      { label: "at", value: (_, at) => (at ? localClock(new Date(at * 1000)) : "–") },
      { label: "min", stroke: "transparent", points: { show: false }, value },
      { label: "max", stroke: "transparent", points: { show: false }, value },
      { label: "mean", stroke: accent, width: 2, paths, points: { size: 4 }, value },
    ],
    bands: [{ series: [2, 1], fill: `${accent}2e` }],
    legend: { markers: { show: false } },
  }, series(), plotBox);
  // The plot empties its legend once it has drawn, which is after this.
  setTimeout(latest);
}
// Without a pointer the legend tells the newest.
function latest() {
  if (plot.cursor.idx === null || plot.cursor.left < 0) plot.setLegend({ idx: plot.data[0].length - 1 });
}
async function chart() {
  const row = charted && rowOf(charted);
  if (!row) return;
  const wanted = `${charted} ${minutes}`;
  const title = document.getElementById("charted");
  title.textContent = `${row.dataset.device} · ${row.dataset.name}`;
  if (row.dataset.unit) title.append(Object.assign(document.createElement("small"), { textContent: ` ${row.dataset.unit}` }));
  const to = Date.now();
  const answer = await fetch(`/v1/signals/${encodeURIComponent(charted)}/summary?from=${to - minutes * 60000}&to=${to}&points=${POINTS}`);
  if (answer.status === 401) return location.reload();
  if (wanted !== `${charted} ${minutes}`) return;
  if (!answer.ok) throw new Error(answer.statusText);
  const { items, width_ms, cut } = await answer.json();
  width = width_ms;
  complete = !cut;
  slots = items.map(({ at, max, min, mean, count, bad }) => ({ at: Date.parse(at), max, min, mean, count, bad }));
  draw(row);
  tell();
}
function tell() {
  const bad = slots.reduce((sum, slot) => sum + slot.bad, 0);
  const count = slots.reduce((sum, slot) => sum + slot.count, 0);
  const words = [count + bad ? `${count.toLocaleString("en").replaceAll(",", "\u202f")} samples` : "No samples in this range."];
  if (bad) words.push(`${bad} without a value`);
  if (!complete) words.push("too many to draw all: choose a shorter range");
  note.textContent = words.join(" · ");
}
function again() {
  chart().catch(() => { note.textContent = "The history could not be read."; });
}
function extend(sample) {
  if (!plot || !complete || !sample.at || typeof sample.value === "string") return;
  const at = Date.parse(sample.at);
  const last = slots.at(-1);
  if (last && at < last.at) return;
  const value = sample.value === null ? null : Number(sample.value);
  if (last && at < last.at + width) {
    if (value !== null) {
      last.max = Math.max(last.max ?? value, value);
      last.min = Math.min(last.min ?? value, value);
      last.mean = ((last.mean ?? 0) * last.count + value) / (last.count + 1);
      last.count += 1;
    } else {
      last.bad += 1;
    }
  } else {
    const begin = last ? last.at + Math.floor((at - last.at) / width) * width : at;
    slots.push({ at: begin, max: value, min: value, mean: value, count: value === null ? 0 : 1, bad: value === null ? 1 : 0 });
    while (slots[0].at < at - minutes * 60000) slots.shift();
  }
  plot.setData(series());
  latest();
  tell();
}
function choose(row) {
  document.querySelector("tr.chosen")?.classList.remove("chosen");
  row.classList.add("chosen");
  charted = row.dataset.signal;
  again();
}
for (const button of document.querySelectorAll(".pick")) {
  button.addEventListener("click", () => {
    choose(button.closest("tr"));
    plotBox.closest("section").scrollIntoView({ block: "nearest" });
  });
}
for (const button of document.querySelectorAll(".ranges button")) {
  button.addEventListener("click", () => {
    document.querySelector('.ranges [aria-pressed="true"]')?.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-pressed", "true");
    minutes = Number(button.dataset.minutes);
    again();
  });
}
addEventListener("resize", () => plot?.setSize({ width: plotBox.clientWidth - 20, height: 260 }));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (plot) draw(rowOf(charted)); });
