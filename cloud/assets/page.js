// Times and values in the words of a screen, for every page.
"use strict";
const ZONE = new Intl.DateTimeFormat("en", { timeZoneName: "short" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("sv-SE", { year: "numeric", month: "2-digit", day: "2-digit" });
function zone(at) {
  return ZONE.formatToParts(at).find((part) => part.type === "timeZoneName").value;
}
// 2026-11-22 20:11:32 GMT+1
function local(at) {
  const date = new Date(at);
  return `${DAY.format(date)} ${CLOCK.format(date)} ${zone(date)}`;
}
// 20:11:32 GMT+1
function localClock(at) {
  return `${CLOCK.format(at)} ${zone(at)}`;
}
function ago(at) {
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(at)) / 1000));
  if (seconds < 2) return "now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}
function setTime(time, at) {
  time.dataset.at = at ?? "";
  tickOne(time);
}
function tickOne(time) {
  const { at, absent, absolute } = time.dataset;
  const words = !at ? absent ?? "" : absolute === undefined ? ago(at) : local(at);
  if (time.textContent !== words) time.textContent = words;
}
// Written when somebody points at it: with five samples a second few titles are ever read.
document.addEventListener("pointerover", (event) => {
  const time = event.target.closest?.("time[data-at]");
  if (time) time.title = time.dataset.at ? local(time.dataset.at) : "";
});
function tick() {
  for (const time of document.querySelectorAll("time[data-at]")) tickOne(time);
}
function showState(node, online, seen) {
  node.textContent = online ? "online" : seen ? "offline" : "never connected";
  node.className = `state ${online ? "on" : "off"}`;
}
{
  const named = Intl.DateTimeFormat().resolvedOptions().timeZone;
  document.getElementById("zone").textContent = `Times in ${named}, ${zone(new Date())}`;
}
setInterval(tick, 1000);
tick();
