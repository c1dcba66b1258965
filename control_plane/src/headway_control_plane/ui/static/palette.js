// The palette: the server's search page in a dialog.

const dialog = /** @type {HTMLDialogElement} */ (document.getElementById("palette"));
/** @type {AbortController | undefined} */
let asked;

export function show() {
  if (dialog.open) return;
  dialog.replaceChildren();
  const input = document.createElement("input");
  input.type = "search";
  input.placeholder = "Go to a run, deployment, flow, pool, agent, offset";
  input.setAttribute("aria-label", input.placeholder);
  const results = document.createElement("div");
  dialog.append(input, results);
  input.addEventListener("input", () => void look(input.value, results));
  input.addEventListener("keydown", (event) => onKey(event, results));
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.showModal();
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
function onKey(event, results) {
  const list = links(results);
  const at = list.findIndex((link) => link.dataset.picked);
  if (event.key === "ArrowDown") { event.preventDefault(); pick(results, at + 1); }
  else if (event.key === "ArrowUp") { event.preventDefault(); pick(results, at - 1); }
  else if (event.key === "Enter" && list[at]) { event.preventDefault(); location.href = list[at].href; }
}
