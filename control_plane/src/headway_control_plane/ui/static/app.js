// Every page: times that age, keys, copying, the theme, the palette, a question before what cannot be undone.
// Pages are complete without it.

/** @param {string} selector @param {ParentNode} [root] @returns {HTMLElement[]} */
export const all = (selector, root = document) => /** @type {HTMLElement[]} */ ([...root.querySelectorAll(selector)]);

/** @param {string} id @returns {HTMLElement | null} */
const byId = (id) => document.getElementById(id);

// Times ------------------------------------------------------------------------------------------

const root = document.documentElement;
const zone = root.dataset.zone || "UTC";
const browserZone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

/** Writes an instant as words.py does. @param {number} at */
function date(at) {
  /** @type {Intl.DateTimeFormatOptions} */
  const form = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: zone };
  return new Intl.DateTimeFormat("en-GB", form).format(at).replace(",", "");
}

/** The hint of a time in UTC says it in the browser's zone too; of another zone the server has said both. @param {HTMLElement} time @param {number} at */
function sayLocally(time, at) {
  if (time.dataset.local) return;
  time.dataset.local = "1";
  if (zone === "UTC" && browserZone !== "UTC") time.title += `\n${new Date(at).toLocaleString()} ${browserZone}`;
}

/** Writes a distance as words.py does. @param {number} seconds */
export function age(seconds) {
  const s = Math.floor(Math.abs(seconds));
  const text = s < 1 ? "now" : s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} m` : `${Math.floor(s / 3600)} h`;
  return text === "now" ? text : seconds > 0 ? `${text} ago` : `in ${text}`;
}

export function refreshTimes() {
  const now = Date.now();
  for (const time of all("time[datetime]")) {
    const at = Date.parse(time.getAttribute("datetime") ?? "");
    const seconds = (now - at) / 1000;
    if (Number.isNaN(at)) continue;
    sayLocally(time, at);
    if (time.dataset.as === "clock") continue;
    const isFar = Math.abs(seconds) >= 86400;
    // What was far when the page was made stays as it was written; what has become so is written anew.
    if (isFar && !/^(in |now)| ago$/.test(time.textContent ?? "")) continue;
    const text = isFar ? date(at) : age(seconds);
    if (time.textContent !== text) time.textContent = text;
  }
}
setInterval(() => { if (!document.hidden) refreshTimes(); }, 1000);
refreshTimes();

/** A browser that has moved tells the server once where it is now. */
function followZone() {
  const choice = /** @type {HTMLInputElement | null} */ (document.querySelector("[data-browser-zone]"));
  if (choice) choice.value = `browser:${browserZone}`;
  const words = byId("browser-zone");
  if (words) words.textContent = browserZone;
  if (root.dataset.zoneBrowser === undefined || zone === browserZone || sessionStorage.getItem("headway.zone") === browserZone) return;
  sessionStorage.setItem("headway.zone", browserZone);
  document.cookie = `headway_zone=browser:${browserZone}; path=/; max-age=31536000; samesite=lax`;
  location.reload();
}
followZone();

// Copy -------------------------------------------------------------------------------------------

/** @param {string} text @param {HTMLElement} button */
async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without the permission, or over plain HTTP beyond loopback, the old way still works.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  const label = button.getAttribute("aria-label") ?? "";
  button.dataset.done = "1";
  button.setAttribute("aria-label", "Copied");
  button.title = "Copied";
  setTimeout(() => { delete button.dataset.done; button.setAttribute("aria-label", label); button.title = label; }, 1500);
}

// Theme ------------------------------------------------------------------------------------------

function switchTheme() {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const wanted = dark ? "light" : "dark";
  // Back to what the system says means following the system again.
  if (wanted === system) delete root.dataset.theme; else root.dataset.theme = wanted;
  document.cookie = `headway_theme=${root.dataset.theme ?? ""}; path=/; max-age=31536000; samesite=lax`;
}

// Questions --------------------------------------------------------------------------------------

/** @param {HTMLFormElement} form @param {HTMLElement} button */
function ask(form, button) {
  const dialog = document.createElement("dialog");
  const text = document.createElement("p");
  text.textContent = button.dataset.confirm ?? "";
  const answers = document.createElement("form");
  answers.method = "dialog";
  const keep = document.createElement("button");
  keep.textContent = "Keep it";
  keep.autofocus = true;
  const go = document.createElement("button");
  go.className = "danger";
  go.textContent = button.textContent;
  go.value = "go";
  answers.append(keep, go);
  dialog.append(text, answers);
  document.body.append(dialog);
  dialog.addEventListener("close", () => { dialog.remove(); if (dialog.returnValue === "go") form.submit(); else button.focus(); });
  dialog.showModal();
}

// Palette: the server's search page in a dialog. Here and not in a module of its own, so that no key is lost while it loads -

const palette = /** @type {HTMLDialogElement} */ (byId("palette"));
/** @type {AbortController | undefined} */
let asked;

function openPalette() {
  if (!palette || palette.open) return;
  palette.replaceChildren();
  const input = document.createElement("input");
  input.type = "search";
  input.placeholder = "Go to a run, deployment, flow, pool, agent, offset";
  input.setAttribute("aria-label", input.placeholder);
  const results = document.createElement("div");
  palette.append(input, results);
  input.addEventListener("input", () => void look(input.value, results));
  input.addEventListener("keydown", (event) => onPaletteKey(event, results));
  palette.addEventListener("click", (event) => { if (event.target === palette) palette.close(); });
  palette.showModal();
  input.focus();
  void look("", results);
}

/** @param {string} text @param {HTMLElement} results */
async function look(text, results) {
  asked?.abort();
  asked = new AbortController();
  try {
    const answer = await fetch(`/search?fragment=1&q=${encodeURIComponent(text)}`, { signal: asked.signal });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    results.replaceChildren(...page.body.childNodes);
    pick(results, 0);
  } catch (error) {
    if (/** @type {Error} */ (error).name !== "AbortError") results.textContent = "The server does not answer.";
  }
}

/** @param {HTMLElement} results */
const links = (results) => /** @type {HTMLAnchorElement[]} */ ([...results.querySelectorAll("a")]);

/** @param {HTMLElement} results @param {number} at */
function pick(results, at) {
  const list = links(results);
  for (const link of list) delete link.dataset.picked;
  const link = list[Math.max(0, Math.min(at, list.length - 1))];
  if (link) { link.dataset.picked = "1"; link.scrollIntoView({ block: "nearest" }); }
}

/** @param {KeyboardEvent} event @param {HTMLElement} results */
function onPaletteKey(event, results) {
  const list = links(results);
  const at = list.findIndex((link) => link.dataset.picked);
  if (event.key === "ArrowDown") { event.preventDefault(); pick(results, at + 1); }
  else if (event.key === "ArrowUp") { event.preventDefault(); pick(results, at - 1); }
  else if (event.key === "Enter" && list[at]) { event.preventDefault(); location.href = list[at].href; }
}

// Selected rows: the bar that acts on them shows while there are any -----------------------------

const PICKS = 'input[form="bulk"]';
const boxes = () => /** @type {HTMLInputElement[]} */ (all(PICKS));
/** @param {Element | null} element */
const boxOf = (element) => /** @type {HTMLInputElement | null} */ (element?.closest("tr")?.querySelector(PICKS) ?? null);

export function showPicked() {
  const bar = byId("bulk");
  const words = byId("picked");
  if (!bar || !words) return;
  const count = boxes().filter((box) => box.checked).length;
  bar.hidden = !count;
  words.textContent = count ? `${count} selected` : "";
}
document.addEventListener("change", (event) => {
  const box = /** @type {HTMLInputElement} */ (event.target);
  if (box.id === "pick-all") for (const each of boxes()) each.checked = box.checked;
  if (box.id === "pick-all" || box.matches(PICKS)) showPicked();
});
// A browser that goes back fills the boxes in once the page is there.
addEventListener("pageshow", showPicked);

// Pictures of links: one stop for the tab key, arrows within ---------------------------------------

export function rove() {
  for (const picture of all("[data-rove]")) {
    const list = /** @type {SVGAElement[]} */ ([...picture.querySelectorAll("a")]);
    const current = list.find((link) => link === document.activeElement) ?? list[list.length - 1];
    for (const link of list) link.setAttribute("tabindex", link === current ? "0" : "-1");
  }
}
rove();

/** @param {KeyboardEvent} event */
function onRove(event) {
  const picture = /** @type {Element} */ (event.target).closest("[data-rove]");
  const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
  if (!picture || step === undefined) return;
  event.preventDefault();
  const list = /** @type {SVGAElement[]} */ ([...picture.querySelectorAll("a")]);
  const at = list.findIndex((link) => link === document.activeElement);
  list[Math.max(0, Math.min(list.length - 1, at + step))]?.focus();
  rove();
}
document.addEventListener("keydown", onRove);

// Keys -------------------------------------------------------------------------------------------

const OFF = "headway.keys.off";
const GO = /** @type {Record<string, string>} */ ({ r: "/runs", d: "/deployments", a: "/agents", e: "/events" });
let going = 0;

const items = () => all("main tbody tr a.main, main .events tbody summary").filter((item) => item.offsetParent);

/** @param {number} by */
function move(by) {
  const list = items();
  const row = document.activeElement?.closest("tr");
  const at = list.findIndex((item) => item.closest("tr") === row);
  const next = list[at < 0 ? (by > 0 ? 0 : list.length - 1) : Math.min(list.length - 1, Math.max(0, at + by))];
  next?.focus();
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    openPalette();
    return;
  }
  const target = /** @type {HTMLElement} */ (event.target);
  if (event.key === "Escape" && target.matches("input, textarea, select")) { target.blur(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey || target.matches("input:not([type=checkbox]), textarea, select") || document.querySelector("dialog[open]")) return;
  if (localStorage.getItem(OFF)) return;
  if (going && Date.now() - going < 1500 && GO[event.key]) { location.href = GO[event.key]; return; }
  going = event.key === "g" ? Date.now() : 0;
  const link = /** @type {HTMLAnchorElement | null} */ (document.activeElement?.matches("a.main") ? document.activeElement : null);
  /** @type {Record<string, () => void>} */
  const keys = {
    j: () => move(1), k: () => move(-1),
    o: () => { if (link) window.open(link.href, "_blank", "noopener"); },
    "/": () => byId("filter")?.focus(),
    "?": () => /** @type {HTMLDialogElement} */ (byId("keys"))?.showModal(),
    x: () => { const box = boxOf(document.activeElement); if (box) { box.checked = !box.checked; showPicked(); } },
    y: () => { const button = byId("help"); if (button) void copy(location.href, button); },
    l: () => { location.hash = "#log"; byId("lines")?.focus(); },
  };
  const act = keys[event.key];
  if (act) { event.preventDefault(); act(); }
}
document.addEventListener("keydown", onKey);

// Wiring -----------------------------------------------------------------------------------------

document.addEventListener("click", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  const button = /** @type {HTMLElement | null} */ (target.closest("button"));
  if (button?.dataset.copy !== undefined) { void copy(button.dataset.copy, button); return; }
  if (button?.id === "theme") { switchTheme(); return; }
  if (button?.id === "help") { /** @type {HTMLDialogElement} */ (byId("keys")).showModal(); return; }
  const row = /** @type {HTMLElement | null} */ (target.closest("tr[data-href]"));
  if (row?.dataset.href && !target.closest("a, button, summary, input, .c-pick") && !String(getSelection())) {
    if (event.ctrlKey || event.metaKey) window.open(row.dataset.href, "_blank", "noopener"); else location.href = row.dataset.href;
  }
});
document.addEventListener("submit", (event) => {
  const button = /** @type {HTMLElement | null} */ (/** @type {SubmitEvent} */ (event).submitter);
  if (button?.dataset.confirm) { event.preventDefault(); ask(/** @type {HTMLFormElement} */ (event.target), button); }
});
const off = /** @type {HTMLInputElement | null} */ (byId("keys-off"));
if (off) {
  off.checked = Boolean(localStorage.getItem(OFF));
  off.addEventListener("change", () => { if (off.checked) localStorage.setItem(OFF, "1"); else localStorage.removeItem(OFF); });
}
