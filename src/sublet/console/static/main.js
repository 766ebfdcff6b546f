// The page: asks for a key, shows the world, and follows the journal.

import { Api, Refused } from "./api.js";
import { drawFleet } from "./fleet.js";
import { Journal } from "./journal.js";
import { drawLeases, drawNotices } from "./leases.js";
import { Prices, drawQueue } from "./market.js";
import { look } from "./world.js";

const KEY = "sublet.key";
const AT_MOST_EVERY_MS = 350;
const AT_LEAST_EVERY_MS = 10000;
const AFTER_FAILURE_MS = 2000;
const COUNTDOWN_MS = 500;
const $ = (id) => document.getElementById(id);

let visit = null; // what ends the present visit

function keyFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("key");
  if (!given) return null;
  history.replaceState(null, "", location.pathname); // out of sight and out of the history
  return given;
}

function say(state, text) {
  $("link").dataset.state = state;
  $("link").textContent = text;
  const lost = state === "lost";
  $("banner").hidden = !lost;
  if (lost) $("banner").textContent = "The control plane does not answer. What is shown is old; the page tries again by itself.";
}

function askForKey(complaint = "") {
  visit?.abort();
  visit = null;
  sessionStorage.removeItem(KEY);
  $("door").hidden = false;
  $("content").hidden = true;
  $("leave").hidden = true;
  $("about").textContent = "";
  $("key-error").hidden = !complaint;
  $("key-error").textContent = complaint;
  $("key").value = "";
  $("key").focus();
  say("idle", "not connected");
}

function enter(key) {
  visit?.abort();
  visit = new AbortController();
  sessionStorage.setItem(KEY, key);
  $("door").hidden = true;
  $("leave").hidden = false;
  say("wait", "connecting");
  new Visit(new Api(key), visit.signal).begin();
}

class Visit {
  #api;
  #signal;
  #world = null;
  #aheadUs = 0; // of the server's clock over ours
  #due = null;
  #busy = false;
  #again = false;
  #streaming = null; // whether the journal can be followed; null: not known yet
  #answered = true; // whether the last question was
  #prices = new Prices();
  #journal = new Journal($("events"));

  constructor(api, signal) {
    this.#api = api;
    this.#signal = signal;
  }

  begin() {
    this.#refresh();
    const slow = setInterval(() => this.#soon(), AT_LEAST_EVERY_MS);
    const fast = setInterval(() => this.#drawWhatTicks(), COUNTDOWN_MS);
    this.#signal.addEventListener("abort", () => { clearInterval(slow); clearInterval(fast); clearTimeout(this.#due); });
    this.#api.follow({
      signal: this.#signal,
      onEvent: (event) => this.#happened(event),
      onLink: (up) => { this.#streaming = up; this.#tell(); if (up) this.#soon(); },
    }).catch((error) => this.#failed(error));
  }

  #happened(event) {
    this.#aheadUs = Math.max(this.#aheadUs, event.at_us - Date.now() * 1000);
    if (event.kind === "price.set") this.#prices.note(event.pool, event.at_us, event.data.price_micro);
    this.#journal.add(event);
    this.#soon();
  }

  // Look again, yet not more often than is useful.
  #soon() {
    if (this.#busy) this.#again = true;
    else if (this.#due === null) {
      const wait = this.#answered ? AT_MOST_EVERY_MS : AFTER_FAILURE_MS;
      this.#due = setTimeout(() => { this.#due = null; this.#refresh(); }, wait);
    }
  }

  async #refresh() {
    this.#busy = true;
    try {
      const world = await look(this.#api);
      if (this.#signal.aborted) return;
      this.#answered = true;
      this.#tell();
      this.#take(world);
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#busy = false;
      if ((this.#again || !this.#answered) && !this.#signal.aborted) { this.#again = false; this.#soon(); }
    }
  }

  #take(world) {
    this.#world = world;
    if (world.status) this.#aheadUs = world.status.now_us - Date.now() * 1000;
    for (const pool of world.pools) this.#prices.note(pool.settings.id, this.#nowUs(), pool.price_micro);
    $("content").hidden = false;
    $("about").textContent = world.status ? `${world.status.engine} engine, version ${world.status.version}` : "a tenant's view";
    drawFleet($("fleet"), world);
    drawLeases($("leases"), world);
    this.#drawWhatTicks();
  }

  #drawWhatTicks() {
    if (!this.#world) return;
    const now = this.#nowUs();
    this.#prices.draw($("price"), this.#world, now);
    drawQueue($("queue"), this.#world, now);
    drawNotices($("notices"), this.#world, now);
  }

  #failed(error) {
    if (this.#signal.aborted) return;
    if (error instanceof Refused && error.status === 401) askForKey("This key is not valid, or it was revoked.");
    else if (error instanceof Refused && error.status === 403) askForKey("This key may not see leases.");
    else { this.#answered = false; this.#tell(); }
  }

  #tell() {
    if (!this.#answered || this.#streaming === false) say("lost", "disconnected");
    else if (this.#streaming) say("live", "live");
  }

  #nowUs() {
    return Date.now() * 1000 + this.#aheadUs;
  }
}

$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = $("key").value.trim();
  if (key) enter(key);
});
$("leave").addEventListener("click", () => askForKey());
window.addEventListener("hashchange", () => { const key = keyFromAddress(); if (key) enter(key); });

const known = keyFromAddress() || sessionStorage.getItem(KEY);
if (known) enter(known);
else askForKey();
