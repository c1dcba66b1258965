// The page of one run: following the log, going from error to error, lines by their address.

import { all } from './app.js';

const WINDOW = 500;
const lines = /** @type {HTMLElement | null} */ (document.getElementById("lines"));
const follow = /** @type {HTMLInputElement | null} */ (document.getElementById("follow"));
let asking = false;

const atEnd = () => !lines || lines.scrollHeight - lines.scrollTop - lines.clientHeight < 40;
const toEnd = () => { if (lines) lines.scrollTop = lines.scrollHeight; };

async function more() {
  if (!lines?.dataset.follow || asking) return;
  asking = true;
  try {
    const answer = await fetch(`${lines.dataset.follow}&after_line=${lines.dataset.last}`);
    if (!answer.ok) return;
    const last = answer.headers.get("Headway-Last-Line");
    const stick = follow?.checked && atEnd();
    if (answer.status === 200) {
      const page = new DOMParser().parseFromString(`<ol>${await answer.text()}</ol>`, "text/html");
      lines.append(...all("li", page));
      lines.hidden = false;
      document.getElementById("no-lines")?.remove();
      while (lines.children.length > WINDOW) lines.firstElementChild?.remove();
    }
    if (last) lines.dataset.last = last;
    if (stick) toEnd();
    offerErrors();
  } finally {
    asking = false;
  }
}

// Errors -----------------------------------------------------------------------------------------

const button = document.getElementById("next-error");
const errors = () => (lines ? all(".l-error, .l-critical", lines) : []);
function offerErrors() { if (button) button.hidden = errors().length === 0; }

/** @param {number} by */
function toError(by) {
  const list = errors();
  if (!list.length) return;
  const at = list.findIndex((line) => line.dataset.target);
  const next = list[(at < 0 ? (by > 0 ? 0 : list.length - 1) : at + by + list.length) % list.length];
  if (follow) follow.checked = false;
  mark(next);
}

/** @param {HTMLElement} line */
function mark(line) {
  for (const old of all("[data-target]", lines ?? document)) delete old.dataset.target;
  line.dataset.target = "1";
  line.scrollIntoView({ block: "center" });
}

button?.addEventListener("click", (event) => { event.preventDefault(); toError(1); });
document.addEventListener("keydown", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  if (event.ctrlKey || event.metaKey || event.altKey || target.matches("input, textarea, select") || localStorage.getItem("headway.keys.off")) return;
  if (event.key === "n") toError(1);
  if (event.key === "N") toError(-1);
});

// The timeline's part: drawn over with the pointer, or by keys that follow its links ----------------

const AGAIN = "headway.zoom";

document.addEventListener("pointerdown", (event) => {
  const plot = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest(".plot[data-from]"));
  if (!plot || event.button !== 0 || event.pointerType === "touch") return;
  const box = plot.getBoundingClientRect();
  const begin = Number(plot.dataset.from);
  const length = Number(plot.dataset.to) - begin;
  const at = (/** @type {number} */ x) => Math.min(1, Math.max(0, (x - box.left) / box.width));
  const brush = document.createElement("div");
  brush.className = "brush";
  const draw = (/** @type {PointerEvent} */ move) => {
    const [left, right] = [at(event.clientX), at(move.clientX)].sort((a, b) => a - b);
    brush.style.left = `${left * 100}%`;
    brush.style.width = `${(right - left) * 100}%`;
    if (!brush.isConnected && Math.abs(move.clientX - event.clientX) > 4) plot.append(brush);
  };
  const stop = () => {
    document.removeEventListener("pointermove", draw);
    document.removeEventListener("pointerup", end);
    document.removeEventListener("keydown", escape);
    brush.remove();
  };
  const escape = (/** @type {KeyboardEvent} */ key) => { if (key.key === "Escape") stop(); };
  const end = (/** @type {PointerEvent} */ up) => {
    const drawn = brush.isConnected;
    stop();
    if (!drawn) return;
    // The row under the pointer is a link, and was not meant.
    document.addEventListener("click", (click) => click.preventDefault(), { capture: true, once: true });
    const [left, right] = [at(event.clientX), at(up.clientX)].sort((a, b) => a - b);
    const address = new URL(location.href);
    for (const [name, part] of Object.entries({ from: left, to: right })) address.searchParams.set(name, (begin + part * length).toFixed(3));
    address.hash = "timeline";
    location.assign(address);
  };
  document.addEventListener("pointermove", draw);
  document.addEventListener("pointerup", end);
  document.addEventListener("keydown", escape);
});
document.addEventListener("dragstart", (event) => {
  if (/** @type {Element} */ (event.target).closest(".plot")) event.preventDefault();
});

document.addEventListener("keydown", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  if (event.ctrlKey || event.metaKey || event.altKey || target.matches("input, textarea, select") || localStorage.getItem("headway.keys.off")) return;
  // Arrows move the page, but for whoever is in the timeline.
  if (event.key.startsWith("Arrow") && !target.closest("#timeline")) return;
  const link = /** @type {HTMLAnchorElement | null} */ (document.querySelector(`#timeline a[data-zoom="${CSS.escape(event.key)}"]`));
  if (!link) return;
  event.preventDefault();
  sessionStorage.setItem(AGAIN, event.key);
  link.click();
});
document.addEventListener("click", (event) => {
  const link = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest("a[data-zoom]"));
  if (link) sessionStorage.setItem(AGAIN, link.dataset.zoom ?? "");
});

/** Whoever went on by a link goes on from it, or from one beside it where there is no further. */
function zoomAgain() {
  const key = sessionStorage.getItem(AGAIN);
  sessionStorage.removeItem(AGAIN);
  if (!key) return;
  const link = document.querySelector(`a[data-zoom="${CSS.escape(key)}"]`) ?? document.querySelector("a[data-zoom]");
  /** @type {HTMLElement | null} */ (link)?.focus();
}
// Behind the load: going to the part that the address names takes the focus away.
addEventListener("load", () => setTimeout(zoomAgain));

// Addresses --------------------------------------------------------------------------------------

/** A line that the window does not hold is asked for. */
function onHash() {
  const number = /^#L(\d+)$/.exec(location.hash)?.[1];
  if (!number) return;
  const line = document.getElementById(`L${number}`);
  const address = new URL(location.href);
  if (line) mark(line);
  else if (address.searchParams.get("line") !== number) {
    address.searchParams.set("line", String(Math.max(1, Number(number) - 20)));
    location.replace(address);
  }
}
addEventListener("hashchange", onHash);

document.addEventListener("headway:lines", () => void more());
document.addEventListener("visibilitychange", () => { if (!document.hidden) void more(); });
offerErrors();
if (location.hash.startsWith("#L")) onHash(); else toEnd();
