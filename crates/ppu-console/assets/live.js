// Live updates over one WebSocket: replaces the inside of elements by what the server rendered, and keeps ages right.
// The pages work without it; it adds liveness, not function.
"use strict";
(() => {
  const body = document.body;
  const said = document.getElementById("said");
  const FIRST_WAIT = 500, LONGEST_WAIT = 8000, SILENT_AFTER = 6000, STALE_AFTER = 10000;
  const held = new Map();
  let offset = Number(body.dataset.now) - Date.now();
  let contact = Number(body.dataset.contact);
  let heard = Date.now();
  let wait = FIRST_WAIT;
  let pressed = null;

  // ---- patching ----
  const inUse = (element) => {
    // A button must not vanish between press and release: the click, perhaps that of STOP ALL, would be lost.
    if (pressed && element.contains(pressed)) return true;
    const active = document.activeElement;
    if (element.contains(active) && active.matches("input, textarea, select")) return true;
    return [...element.querySelectorAll("textarea, input:not([type=hidden])")].some((field) =>
      field.type === "radio" || field.type === "checkbox" ? field.checked !== field.defaultChecked : field.value !== field.defaultValue);
  };

  const patch = (fragment) => {
    const element = document.getElementById(fragment.id);
    if (!element) {
      if (fragment.id.startsWith("card-") && body.dataset.topic === "overview") reload();
      return;
    }
    if (element.dataset.v === fragment.v) return;
    // What a person is typing is never taken away; the newest rendering waits until the form is left.
    if (inUse(element)) {
      held.set(fragment.id, fragment);
      if (!pressed) element.dataset.behind = "";
      return;
    }
    held.delete(fragment.id);
    delete element.dataset.behind;
    const open = [...element.querySelectorAll("details[open][id]")].map((details) => details.id);
    const focus = element.contains(document.activeElement) ? path(document.activeElement, element) : null;
    const scroll = [...element.querySelectorAll(".scroll, .events")].map((inner) => [inner.scrollLeft, inner.scrollTop]);
    element.innerHTML = fragment.html;
    element.dataset.v = fragment.v;
    open.forEach((id) => { const details = document.getElementById(id); if (details) details.open = true; });
    element.querySelectorAll(".scroll, .events").forEach((inner, index) => {
      if (scroll[index]) [inner.scrollLeft, inner.scrollTop] = scroll[index];
    });
    if (focus) at(focus, element)?.focus({ preventScroll: true });
  };

  // The place of a focused element, so that a keyboard does not lose it: its place in the tree and what it is.
  const path = (element, root) => {
    const steps = [];
    for (let node = element; node !== root; node = node.parentElement) steps.unshift([...node.parentElement.children].indexOf(node));
    return { steps, tag: element.tagName, text: element.textContent };
  };
  const at = ({ steps, tag, text }, root) => {
    const node = steps.reduce((parent, index) => parent?.children[index], root);
    // A button that says something else now must not take a keypress that was meant for the old one.
    return node && node.tagName === tag && node.textContent === text ? node : null;
  };

  const reload = () => {
    if (inUse(body) || Date.now() - Number(sessionStorage.getItem("reloaded") || 0) < 10000) return;
    sessionStorage.setItem("reloaded", String(Date.now()));
    location.reload();
  };

  const take = (message) => {
    offset = message.now - Date.now();
    contact = message.contact;
    heard = Date.now();
    message.fragments.forEach(patch);
    if (message.reload) reload();
    times();
  };

  // ---- times ----
  const span = (milliseconds) => {
    const tenths = Math.round(Math.max(0, milliseconds) / 100), s = Math.floor(tenths / 10), two = (n) => String(n).padStart(2, "0");
    if (s < 10) return `${s}.${tenths % 10} s`;
    if (s < 60) return `${s} s`;
    if (s < 600) return `${Math.floor(s / 60)} min ${two(s % 60)} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min`;
    if (s < 86400) return `${Math.floor(s / 3600)} h ${two(Math.floor(s / 60) % 60)} min`;
    return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
  };
  const say = (element, text) => { if (element.textContent !== text) element.textContent = text; };

  const times = () => {
    const now = Date.now() + offset;
    document.querySelectorAll("[data-age]").forEach((element) => {
      const age = now - Number(element.dataset.age);
      say(element, span(age));
      if (element.classList.contains("age")) element.classList.toggle("old", age > STALE_AFTER);
    });
    document.querySelectorAll("[data-left]").forEach((element) => {
      const left = Number(element.dataset.left) - now;
      say(element, left > 0 ? span(left) : "any moment");
    });
    document.querySelectorAll("[data-clock]").forEach((element) => {
      say(element, new Date(Number(element.dataset.clock)).toLocaleTimeString("en-GB"));
      element.title = new Date(Number(element.dataset.clock)).toLocaleString();
    });
    document.querySelectorAll("time[data-contact]").forEach((element) => say(element, span(now - contact)));
    const silent = Date.now() - heard > SILENT_AFTER;
    body.classList.toggle("silent", silent);
    if (silent) tell(`This page has not heard from the console for ${span(Date.now() - heard)}; values are as of then.`, true);
    else if (said.dataset.kind === "silent") said.hidden = true;
  };

  const tell = (text, silent) => {
    said.hidden = false;
    said.dataset.kind = silent ? "silent" : "said";
    say(said, text);
    if (!silent) setTimeout(() => { if (said.textContent === text) said.hidden = true; }, 6000);
  };

  // ---- connection ----
  const connect = () => {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/ws?topic=${encodeURIComponent(body.dataset.topic)}`);
    socket.onmessage = (event) => { wait = FIRST_WAIT; take(JSON.parse(event.data)); };
    socket.onclose = () => { setTimeout(connect, wait * (0.75 + Math.random() / 2)); wait = Math.min(wait * 2, LONGEST_WAIT); };
  };

  // ---- forms that need no new page ----
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    const button = event.submitter;
    if (!form.dataset.live) {
      // Against double clicks, but never for STOP ALL: that may be pressed as often as anybody likes.
      if (button && !button.classList.contains("stop")) {
        setTimeout(() => { button.disabled = true; }, 0);
        setTimeout(() => { button.disabled = false; }, 3000);
      }
      return;
    }
    event.preventDefault();
    if (button) button.disabled = true;
    try {
      const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (answer.ok) form.reset();
      tell(answer.ok ? form.dataset.live : page.getElementById("message")?.textContent || `Refused: ${answer.status}`);
    } catch {
      tell("The console does not answer; nothing is known of what was asked.");
    }
    if (button) button.disabled = false;
    document.activeElement?.blur();
    release();
  });
  const release = () => [...held.values()].forEach(patch);
  document.addEventListener("focusout", () => setTimeout(release, 0));
  document.addEventListener("pointerdown", (event) => { pressed = event.target; });
  ["pointerup", "pointercancel"].forEach((name) => document.addEventListener(name, () => setTimeout(() => { pressed = null; release(); }, 0)));

  // ---- keys of the inbox: n next, a accept, r reject ----
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea, select")) return;
    const items = [...document.querySelectorAll(".approval")];
    const current = event.target.closest(".approval");
    if (event.key === "n" && items.length) items[(items.indexOf(current) + 1) % items.length].focus();
    else if (current && (event.key === "a" || event.key === "r")) current.querySelector(`[data-key=${event.key}]`)?.click();
  });

  connect();
  times();
  setInterval(times, 500);
})();
