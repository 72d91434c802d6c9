// Keeps the fleet's table true without a reload.
"use strict";
const EVERY_MS = 5000;
// Data this far behind is worth a word while the gateway is online.
const BEHIND_MS = 60000;
function show(row, gateway) {
  const field = (name) => row.querySelector(`[data-field="${name}"]`);
  showState(field("online"), gateway.online, gateway.last_seen_at);
  setTime(field("seen"), gateway.last_seen_at);
  setTime(field("data"), gateway.data_until);
  const behind = gateway.data_until && Date.now() - Date.parse(gateway.data_until) > BEHIND_MS;
  field("behind").textContent = behind && gateway.online ? "behind" : "";
  row.classList.toggle("stale", !gateway.online);
  field("alarms").textContent = gateway.active_alarms;
  field("alarms").className = gateway.active_alarms > 0 ? "count hot" : "count";
}
async function refresh() {
  let online = 0, alarms = 0, next = null;
  do {
    const cursor = next ? `&cursor=${encodeURIComponent(next)}` : "";
    const answer = await fetch(`/v1/gateways?limit=1000${cursor}`);
    if (answer.status === 401) return location.reload();
    if (!answer.ok) throw new Error(answer.statusText);
    const page = await answer.json();
    for (const gateway of page.items) {
      online += gateway.online ? 1 : 0;
      alarms += gateway.active_alarms;
      const row = document.querySelector(`[data-gateway="${CSS.escape(gateway.id)}"]`);
      if (row) show(row, gateway);
      // A page that holds as many as it can would not hold this one after a reload either.
      else if (document.querySelectorAll("[data-gateway]").length < 10000) return location.reload();
    }
    next = page.next;
  } while (next);
  document.getElementById("online").textContent = online;
  document.getElementById("alarms").textContent = alarms;
}
function look() {
  if (document.hidden) return;
  const stream = document.getElementById("stream");
  refresh().then(() => { stream.textContent = ""; }, () => { stream.textContent = " · the service does not answer, this is old"; });
}
setInterval(look, EVERY_MS);
document.addEventListener("visibilitychange", look);
look();
