// The leases that live, and the notices among them.

import { node, show } from "./dom.js";
import { duration, gpus, price } from "./words.js";

const SHOWN = 100;
const ORDER = ["noticed", "active", "starting", "reserved", "stopping", "handover", "requested", "queued", "paused"];
const HEADINGS = ["Lease", "Tenant", "Class", "State", "GPUs", "Pays", "Bids", "Attempt", "Reclaimed"];

export function drawLeases(place, world) {
  const all = [...world.leases].sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || a.requested_us - b.requested_us);
  if (!all.length) {
    show(place, node("p", { class: "quiet" }, "No lease lives. A tenant asks for one with: sublet launch task.yaml"));
    return;
  }
  const currency = Object.fromEntries(world.pools.map((pool) => [pool.settings.id, pool.settings.currency]));
  const head = node("tr", {}, HEADINGS.map((text) => node("th", { scope: "col" }, text)));
  const rows = all.slice(0, SHOWN).map((lease) => row(lease, currency[lease.pool]));
  show(
    place,
    node("table", { class: "leases" }, node("thead", {}, head), node("tbody", {}, rows)),
    (all.length > SHOWN || world.moreLeases) && node("p", { class: "quiet" }, "More leases live than are shown: sublet ps"),
  );
}

function row(lease, currency) {
  const cell = (label, ...content) => node("td", { "data-label": label }, content);
  return node(
    "tr",
    { "data-lease": lease.id },
    node(
      "th",
      { scope: "row" },
      node("span", { class: "name", title: lease.id }, lease.name),
      lease.state !== "active" && lease.reason && node("span", { class: "reason" }, lease.reason),
    ),
    cell("Tenant", lease.tenant),
    cell("Class", lease.class),
    cell("State", node("span", { class: `state ${lease.state}` }, lease.state)),
    cell("GPUs", String(lease.gpus)),
    cell("Pays", lease.started_us === null ? "–" : price(lease.price_micro, currency)),
    cell("Bids", price(lease.bid_micro, currency)),
    cell("Attempt", String(lease.attempt)),
    cell("Reclaimed", String(lease.reclaims)),
  );
}

export function drawNotices(place, world, nowUs) {
  const noticed = world.leases.filter((lease) => lease.state === "noticed");
  if (!noticed.length) {
    show(place, node("p", { class: "quiet" }, "No lease has been told of its end."));
    return;
  }
  show(place, node("ul", { class: "notices" }, noticed.map((lease) => notice(lease, nowUs))));
}

function notice(lease, nowUs) {
  const left = Math.max(0, lease.deadline_us - nowUs);
  const whole = Math.max(1, lease.deadline_us - lease.noticed_us);
  const bar = node("progress", { max: whole, value: left, "aria-label": `time left for ${lease.name}` });
  return node(
    "li",
    {},
    node("strong", {}, `${lease.tenant}: ${lease.name}`),
    ` ${gpus(lease.gpus)}, ${lease.cause}, `,
    left ? `${duration(left)} left` : "time is up",
    bar,
    node("span", { class: "reason" }, lease.reason),
  );
}
