// Writes a signal, and follows what becomes of it.
"use strict";
const form = document.getElementById("command");
const refusal = document.getElementById("refusal");

function line(command) {
  const item = document.createElement("li");
  item.dataset.command = command.id;
  const unit = [...form?.signal.options ?? []].find((option) => option.value === `${command.device}.${command.signal}`)?.dataset.unit ?? "";
  part(item, "span", `${command.device} · ${command.signal} = ${text(command.value)} ${unit}`.trim());
  part(item, "span", command.state, `outcome ${command.state}`);
  const small = part(item, "small", `${command.created_by} · `);
  const time = part(small, "time", "");
  time.dataset.absolute = "";
  setTime(time, command.created_at);
  const more = plain(command.reason) || (command.read_back === null ? "" : `read back ${text(command.read_back)} ${unit}`.trim());
  if (more) small.append(` · ${more}`);
  return item;
}
async function follow(command) {
  while (command.open) {
    const answer = await fetch(`/v1/commands/${encodeURIComponent(command.id)}?wait=30s`);
    if (!answer.ok) return;
    command = await answer.json();
    document.querySelector(`[data-command="${CSS.escape(command.id)}"]`)?.replaceWith(line(command));
    if (command.state === "unconfirmed") await new Promise((done) => setTimeout(done, 10000));
  }
}
// The kind decides how a value is asked for.
function ask() {
  const { kind, unit } = form.signal.selectedOptions[0].dataset;
  form.value.hidden = kind === "bool";
  form.choice.hidden = kind !== "bool";
  form.value.required = kind !== "bool";
  form.value.inputMode = kind === "text" ? "text" : "decimal";
  form.value.value = "";
  document.getElementById("askedunit").textContent = kind === "bool" ? "" : unit;
  refusal.textContent = "";
}
// An integer that a number would round travels as its digits.
function typed(kind, words) {
  if (kind === "bool") return form.choice.value === "true";
  if (kind === "text") return words;
  const cleaned = words.trim().replace(",", ".");
  const number = Number(cleaned);
  if (cleaned === "" || !Number.isFinite(number)) return undefined;
  return Math.abs(number) > Number.MAX_SAFE_INTEGER ? cleaned : number;
}
async function submit(event) {
  event.preventDefault();
  const option = form.signal.selectedOptions[0];
  const { device, name: signal, kind } = option.dataset;
  const value = typed(kind, form.value.value);
  refusal.textContent = value === undefined ? "Write a number, such as 23.5." : "";
  if (value === undefined) return;
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const answer = await fetch("/v1/commands", {
      method: "POST",
      headers: { "content-type": "application/json", "idempotency-key": crypto.getRandomValues(new Uint32Array(4)).join("-") },
      body: JSON.stringify({ gateway, device, signal, value, verify: form.verify.checked, ttl: "60s" }),
    });
    const body = await answer.json();
    if (answer.ok) {
      document.getElementById("commands").prepend(line(body));
      form.value.value = "";
      follow(body).catch(() => {});
    } else {
      refusal.textContent = `Not sent: ${plain(body.detail ?? body.title)}.`;
    }
  } catch {
    refusal.textContent = "The service did not answer: the command may or may not have been taken. Reload before you repeat it.";
  } finally {
    button.disabled = false;
  }
}
form?.addEventListener("submit", submit);
form?.signal.addEventListener("change", ask);
if (form) ask();
for (const item of document.querySelectorAll('#commands [data-open="true"]')) {
  follow({ id: item.dataset.command, open: true }).catch(() => {});
}
