// Keeps a page live. The server draws everything that is seen; this replaces regions that changed, counts ages on,
// and takes the colour away when nothing is heard. One file, no build step.
import { drawCharts, keepPlots } from "./charts.js";

const STALE_AFTER_MS = 15_000; // three pulses missed
const AGAIN_MS = 2_000;
const GATHER_MS = 250; // events that come together are fetched together

const root = document.documentElement;
const { stream: streamUrl, regions: regionsUrl, service } = root.dataset;
const favicon = document.querySelector('link[rel="icon"]');
const liveText = document.querySelector("[data-live]");
const lost = document.querySelector(".lost");

let source = null;
let heardAt = performance.now();
let heardClock = Date.now(); // the server's clock at the last pulse
const drawn = new Map(); // region -> the HTML it was last drawn from
let wanted = new Set();
let fetching = null;

/** The server's clock, carried on by ours since the last pulse. */
const serverNow = () => heardClock + (performance.now() - heardAt);
const isStale = () => performance.now() - heardAt > STALE_AFTER_MS;

function connect() {
  source?.close();
  // A reconnection by the browser sends Last-Event-ID itself; one by us starts with a snapshot.
  source = new EventSource(streamUrl);
  for (const kind of ["snapshot", "view", "entry", "route", "window", "service"]) {
    source.addEventListener(kind, () => want(kind));
  }
  source.addEventListener("pulse", (event) => {
    heardClock = JSON.parse(event.data).at;
    heardAt = performance.now();
    show();
  });
  source.addEventListener("error", () => {
    if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
    setTimeout(connect, AGAIN_MS); // refused: the browser gives up, we do not
    ask(["about"]).catch(() => {}); // a session that is over leads to the login
  });
}

/** An event may change every region that names it in `data-on`. */
function want(kind) {
  for (const region of document.querySelectorAll("[data-region]")) {
    if (region.dataset.on.split(" ").includes(kind)) wanted.add(region.dataset.region);
  }
  fetching ??= setTimeout(refresh, GATHER_MS);
}

/** Regions as they are now. */
async function ask(names) {
  const query = new URLSearchParams(names.map((name) => ["names", name]));
  const answer = await fetch(`${regionsUrl}?${query}`, { headers: { accept: "text/html" }, redirect: "manual" });
  if (answer.type === "opaqueredirect") location.reload(); // the session is over: to the login
  if (!answer.ok) throw new Error(`${answer.status}`);
  return answer.text();
}

async function refresh() {
  const names = [...wanted];
  wanted = new Set();
  try {
    replace(await ask(names));
  } catch {
    names.forEach((name) => wanted.add(name)); // asked for again with the next event, or soon
    setTimeout(() => { fetching ??= setTimeout(refresh, 0); }, AGAIN_MS);
  }
  fetching = null;
  if (wanted.size && !isStale()) fetching ??= setTimeout(refresh, GATHER_MS);
}

/** Replace what changed; the focus stays, and so do an open dialog and what was typed into one. */
function replace(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  for (const region of fresh.querySelectorAll("[data-region]")) {
    const old = document.getElementById(region.id);
    const html = region.outerHTML;
    if (!old || drawn.get(region.id) === html || inUse(old)) continue;
    drawn.set(region.id, html);
    const focused = old.contains(document.activeElement) ? document.activeElement.id : null;
    const said = keepSpoken(old, region);
    if (region.id === "charts") keepPlots(old, region);
    old.replaceWith(document.adoptNode(region));
    said();
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    if (region.id === "charts") drawCharts(region);
  }
  show();
}

const inUse = (region) =>
  region.querySelector(":popover-open") || [...region.querySelectorAll("textarea")].some((field) => field.value);

/** A live region is told anew only if its words have changed: the old one stays in place, and takes the new words. */
function keepSpoken(old, fresh) {
  const [before, after] = [old, fresh].map((region) => region.querySelector("[aria-live]"));
  if (!before || !after) return () => {};
  const words = [...after.childNodes];
  const same = before.innerHTML === after.innerHTML;
  after.replaceWith(before);
  return () => same || before.replaceChildren(...words);
}

function show() {
  const stale = isStale();
  const was = "stale" in root.dataset;
  const headline = document.querySelector("[data-title]");
  root.toggleAttribute("data-stale", stale);
  root.toggleAttribute("data-heard", !stale);
  document.title = stale ? `? ${service ?? "davylamp"}, last heard ${age(performance.now() - heardAt)} ago` : headline.dataset.title;
  favicon.href = `/static/icons/${stale ? "stale" : headline.dataset.icon}.svg`;
  liveText.textContent = stale ? `not live, last heard ${age(performance.now() - heardAt)} ago` : `live · ${clock(serverNow())}`;
  lost.hidden = !stale;
  if (stale) {
    lost.querySelector("[data-lost]").textContent = `Last heard ${age(performance.now() - heardAt)} ago.`;
    lost.querySelector("time").textContent = clock(heardClock);
    lost.querySelector("[data-trying]").textContent = "Trying again every 2 s.";
  }
  for (const button of document.querySelectorAll(".acts button")) {
    const back = ["rollback", "undo"].includes(button.dataset.act);
    if (stale && !back && !button.disabled) button.dataset.held = button.disabled = true;
    if (!stale && button.dataset.held) { button.disabled = false; delete button.dataset.held; }
  }
  for (const direct of document.querySelectorAll(".direct")) direct.hidden = !stale;
  for (const told of document.querySelectorAll(".told")) told.hidden = stale;
  if (stale !== was) drawCharts(document.getElementById("charts"));
}

/** Ages and countdowns: what the server wrote once, second by second. */
function tick() {
  const now = serverNow();
  if (!isStale()) {
    for (const element of document.querySelectorAll("[data-since]")) element.textContent = `${age(now - element.dataset.since)} ago`;
    for (const element of document.querySelectorAll("[data-until]")) {
      const left = element.dataset.until - now;
      element.textContent = left > 0 ? `in ${age(left)}` : "now";
    }
  }
  show();
}

const NB = "\u00a0";

function age(ms) {
  const total = Math.max(0, Math.round(ms / 1000));
  for (const [size, unit, smaller, smallerUnit] of [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]]) {
    if (total < size) continue;
    const rest = Math.floor((total % size) / smaller);
    return `${Math.floor(total / size)}${NB}${unit}${rest ? ` ${rest}${NB}${smallerUnit}` : ""}`;
  }
  return `${total}${NB}s`;
}

const clock = (ms) => new Date(ms).toISOString().slice(11, 19);

connect();
drawCharts(document.getElementById("charts"));
setInterval(tick, 1000);
addEventListener("pagehide", () => source?.close());
addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawCharts(document.getElementById("charts")));
