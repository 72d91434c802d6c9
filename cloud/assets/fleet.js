// Keeps the fleet's table true without a reload.
"use strict";
const EVERY_MS = 5000;
function ago(at) {
  if (!at) return "never";
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(at)) / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}
function show(row, gateway) {
  const field = (name) => row.querySelector(`[data-field="${name}"]`);
  field("online").textContent = gateway.online ? "online" : "offline";
  field("online").className = `state ${gateway.online ? "on" : "off"}`;
  field("seen").dataset.at = gateway.last_seen_at ?? "";
  field("data").dataset.at = gateway.data_until ?? "";
  field("alarms").textContent = gateway.active_alarms;
  field("alarms").className = gateway.active_alarms > 0 ? "count hot" : "count";
}
async function refresh() {
  let online = 0, alarms = 0, next = null;
  do {
    const cursor = next ? `&cursor=${next}` : "";
    const answer = await fetch(`/v1/gateways?limit=1000${cursor}`);
    if (answer.status === 401) return location.reload();
    if (!answer.ok) return;
    const page = await answer.json();
    for (const gateway of page.items) {
      online += gateway.online ? 1 : 0;
      alarms += gateway.active_alarms;
      const row = document.querySelector(`[data-gateway="${gateway.id}"]`);
      if (row) show(row, gateway);
    }
    next = page.next;
  } while (next);
  document.getElementById("online").textContent = online;
  document.getElementById("alarms").textContent = alarms;
}
function tick() {
  for (const time of document.querySelectorAll("time[data-at]")) time.textContent = ago(time.dataset.at);
}
setInterval(tick, 1000);
setInterval(() => { if (!document.hidden) refresh().catch(() => {}); }, EVERY_MS);
tick();
