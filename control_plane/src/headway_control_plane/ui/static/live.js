// Live pages: one stream says that something changed; the page asks for itself again and swaps what differs, in place.
// Nothing moves under the pointer: rows keep their order and new ones wait behind a link while somebody reads.

import { all, refreshTimes, rove, showPicked } from './app.js';

const scope = document.body.dataset.liveStream;
const badge = /** @type {HTMLElement} */ (document.getElementById("connection"));
const stale = /** @type {HTMLElement} */ (document.getElementById("stale"));
const SILENCE = 40000;
// A list that is the page; tables within a region come and go with it.
const LIST = "main table:not([data-live] table)";
let stoppedAt = 0;
let heardAt = 0;
let over = false;
let asking = false;
let again = false;

/** @param {string} state @param {string} words */
function connection(state, words) {
  if (badge.dataset.state === state) return;
  badge.dataset.state = state;
  badge.title = words;
  const text = badge.querySelector(".words");
  if (text) text.textContent = words;
}

function sayStale() {
  if (!stoppedAt) { stale.hidden = true; return; }
  const seconds = Math.round((Date.now() - stoppedAt) / 1000);
  stale.replaceChildren(`Live updates stopped ${seconds} s ago; what is shown is as of then. `);
  const reload = document.createElement("a");
  reload.href = location.href;
  reload.textContent = "Reload";
  stale.append(reload);
  stale.hidden = false;
}

/** Whether swapping would pull something from under a reader. @param {Element} element */
function inUse(element) {
  const selection = getSelection();
  if (selection && !selection.isCollapsed && selection.anchorNode && element.contains(selection.anchorNode)) return true;
  const focused = document.activeElement;
  return Boolean(focused && focused !== document.body && element.contains(focused) && focused.matches("input:not([type=checkbox]), textarea, select, summary"));
}

const FOCUSABLE = "a, button, input, select, textarea, summary, [tabindex]";
const SCROLLS = "pre, .sheet, .message, .frames, .tabs, [data-scrolls]";

/** What an element is told apart by from others of its kind. @param {Element} element */
const sign = (element) => ["id", "href", "name", "value", "data-copy", "aria-label"].map((name) => element.getAttribute(name)).join("\n");

/** The same part of a picture that was made anew: by what it says, else the one at its place. @param {Element} part @param {Element} old @param {Element} fresh @param {string} kind */
function anew(part, old, fresh, kind) {
  const alike = (/** @type {Element} */ root) => all(kind, root).filter((each) => sign(each) === sign(part));
  return alike(fresh)[alike(old).indexOf(/** @type {HTMLElement} */ (part))];
}

/** The row or the card that holds opened details tells which they are; others are told by their place. @param {Element} details @param {number} place */
const ownerOf = (details, place) => details.closest("[data-key]")?.getAttribute("data-key") ?? `at ${place}`;

/** Keeps focus, opened details, checked boxes and what was scrolled over a swap. @param {Element} old @param {Element} fresh */
function swap(old, fresh) {
  const focused = document.activeElement && old.contains(document.activeElement) ? document.activeElement : null;
  const next = focused ? anew(focused, old, fresh, FOCUSABLE) : undefined;
  const opened = new Map(all("details", old).map((each, n) => [ownerOf(each, n), /** @type {HTMLDetailsElement} */ (each).open]));
  all("details", fresh).forEach((each, n) => { if (opened.get(ownerOf(each, n))) /** @type {HTMLDetailsElement} */ (each).open = true; });
  const checked = all("tr input:checked", old.parentElement ?? old).map((each) => /** @type {HTMLInputElement} */ (each).value);
  for (const each of /** @type {HTMLInputElement[]} */ (all("input[type=checkbox]", fresh))) each.checked = checked.includes(each.value);
  const scrolled = all(SCROLLS, old).map((each) => [each.scrollLeft, each.scrollTop]);
  old.replaceWith(fresh);
  all(SCROLLS, fresh).forEach((each, n) => { if (scrolled[n]) [each.scrollLeft, each.scrollTop] = scrolled[n]; });
  next?.focus({ preventScroll: true });
}

/** Forms carry a token that differs each time, and ages are written by app.js: neither is a change. @param {Element} element */
function essence(element) {
  return element.innerHTML.replace(/name="form_token" value="[^"]*"/g, "").replace(/ data-local="1"/g, "")
    .replace(/(<time[^>]*?)( title="[^"]*")?([^>]*>)[^<]*/g, "$1$3").replace(/ open=""/g, "");
}

/** @param {Document} page */
function swapRegions(page) {
  for (const old of all("[data-live]")) {
    const fresh = old.id ? page.getElementById(old.id) : null;
    if (fresh && !inUse(old) && essence(old) !== essence(fresh)) swap(old, fresh);
  }
}

/** @param {Document} page */
function swapRows(page) {
  const body = document.querySelector("[data-rows]");
  if (!body) return;
  const fresh = new Map(all("tr[data-key]", page).map((row) => [row.dataset.key, row]));
  const shown = all("tr[data-key]", body);
  for (const row of shown) {
    const next = fresh.get(row.dataset.key);
    fresh.delete(row.dataset.key);
    if (next && !inUse(row) && essence(row) !== essence(next)) { next.classList.add("changed"); swap(row, next); }
  }
  const first = shown[0]?.dataset.key ?? "";
  // Ids are ordered by time, so what sorts above the first row is new and the rest lies on the next page.
  const added = [...fresh.values()].filter((row) => (row.dataset.key ?? "") > first && row.closest("[data-rows]"));
  offer(body, added);
}

/** @param {Element} body @param {HTMLElement[]} rows */
function offer(body, rows) {
  const bar = document.getElementById("fresh");
  const link = bar?.querySelector("a");
  if (!bar || !link) return;
  const reading = scrollY > 40 || body.contains(document.activeElement) || body.matches(":hover") || Boolean(String(getSelection()));
  if (rows.length && !reading) {
    body.prepend(...rows);
    rows.length = 0;
  }
  bar.hidden = !rows.length;
  const what = scope === "events" ? "events" : rows.length === 1 ? "new run" : "new runs";
  link.textContent = `${rows.length} ${what} ↑`;
}

async function refresh() {
  if (asking) { again = true; return; }
  asking = true;
  const began = performance.now();
  try {
    const keep = all("[data-rows] tr[data-key]").map((row) => row.dataset.key).join(",");
    const answer = await fetch(location.href, { headers: { "Headway-Live": "1", "Headway-Keep": keep } });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (Boolean(page.querySelector(LIST)) !== Boolean(document.querySelector(LIST))) {
      // The first row ever, or the last one gone: the page is another one.
      document.querySelector("main")?.replaceWith(/** @type {Element} */ (page.querySelector("main")));
    }
    if (page.title && document.title !== page.title) document.title = page.title;
    swapRegions(page);
    swapRows(page);
    refreshTimes();
    rove();
    if (page.body.dataset.liveStream === "" && scope?.startsWith("run/")) ended();
  } catch {
    // The stream will fail too, and says so in the foot of the page.
  } finally {
    // A page that is dear to make is asked for less often, so that a reader costs the server a quarter of its time at most.
    setTimeout(() => {
      asking = false;
      if (again) { again = false; void refresh(); }
    }, 3 * (performance.now() - began));
  }
}

/** @type {EventSource | undefined} */
let source;

/** The run has ended; its last lines may still be on their way. */
function ended() {
  if (over) return;
  over = true;
  connection("idle", "ended");
  setTimeout(() => { source?.close(); source = undefined; }, 10000);
}

function listen() {
  if (!scope) return;
  const lines = /** @type {HTMLElement | null} */ (document.querySelector("[data-follow]"));
  const fence = lines ? new URL(lines.dataset.follow ?? "", location.href).searchParams.get("attempt") : "";
  source = new EventSource(`/ui/live?scope=${encodeURIComponent(scope)}&fence=${fence ?? ""}`);
  const heard = () => { heardAt = Date.now(); };
  for (const name of ["hello", "changed", "lines", "beat"]) source.addEventListener(name, heard);
  source.addEventListener("hello", () => {
    const missed = stoppedAt > 0;
    stoppedAt = 0;
    sayStale();
    connection("live", "live");
    if (missed) void refresh();
  });
  source.addEventListener("changed", () => void refresh());
  source.addEventListener("lines", () => document.dispatchEvent(new CustomEvent("headway:lines")));
  source.addEventListener("error", () => {
    if (over) return;
    if (!stoppedAt) stoppedAt = Date.now();
    if (source?.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
  });
}

setInterval(() => {
  // A connection that is dead without having ended, after a laptop slept: the server speaks at least every 15 s.
  if (source && heardAt && Date.now() - heardAt > SILENCE) {
    stoppedAt = stoppedAt || heardAt;
    heardAt = Date.now();
    source.close();
    listen();
  }
  // A reconnect within two seconds is nobody's business.
  if (stoppedAt && Date.now() - stoppedAt > 2000) { connection("stopped", "updates stopped"); sayStale(); }
}, 1000);
listen();
addEventListener("pagehide", () => { source?.close(); source = undefined; });
addEventListener("pageshow", (event) => { if (event.persisted) { listen(); void refresh(); } });
