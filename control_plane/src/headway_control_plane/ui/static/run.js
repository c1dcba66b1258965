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
