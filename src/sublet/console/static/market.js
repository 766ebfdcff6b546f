// The price of each pool with its way there, and the owner's jobs that wait.

import { drawn, node, show } from "./dom.js";
import { clock, duration, gpus, price } from "./words.js";

const WIDTH = 240;
const HEIGHT = 48;
const KEPT = 240;

export class Prices {
  #ways = new Map(); // pool -> [[instant in µs, price in micro-units]]

  note(pool, atUs, micro) {
    const way = this.#ways.get(pool) || [];
    if (way.length && way.at(-1)[1] === micro) return;
    way.push([atUs, micro]);
    this.#ways.set(pool, way.slice(-KEPT));
  }

  draw(place, world, nowUs) {
    if (!world.pools.length) {
      show(place, node("p", { class: "quiet" }, "There is no pool yet."));
      return;
    }
    show(place, ...world.pools.map((pool) => this.#pool(pool, nowUs)));
  }

  #pool(pool, nowUs) {
    const { id, gpu_model: model, currency } = pool.settings;
    const way = this.#ways.get(id) || [];
    return node(
      "div",
      { class: "pool" },
      node("p", { class: "figure" }, price(pool.price_micro, currency), node("span", { class: "unit" }, " a GPU-hour")),
      node("p", { class: "quiet" }, model.toLowerCase() === id ? `pool ${id}` : `pool ${id}: ${model}`),
      way.length > 1 && line(way, nowUs, currency),
    );
  }
}

// A step line from the first to the last price seen.
function line(way, nowUs, currency) {
  const low = Math.min(...way.map(([, micro]) => micro));
  const high = Math.max(...way.map(([, micro]) => micro));
  const from = way[0][0];
  const x = (us) => ((us - from) / Math.max(1, nowUs - from)) * WIDTH;
  const y = (micro) => HEIGHT - 3 - ((micro - low) / Math.max(1, high - low)) * (HEIGHT - 6);
  let path = `M0 ${y(way[0][1]).toFixed(1)}`;
  for (const [us, micro] of way.slice(1)) path += `H${x(us).toFixed(1)}V${y(micro).toFixed(1)}`;
  path += `H${WIDTH}`;
  const said = `between ${price(low, currency)} and ${price(high, currency)} since ${clock(from)}`;
  return node(
    "figure",
    {},
    drawn(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": said, class: "spark" },
      drawn("path", { d: path }),
    ),
    node("figcaption", { class: "quiet" }, said),
  );
}

export function drawQueue(place, world, nowUs) {
  if (world.jobs === null) {
    show(place, node("p", { class: "quiet" }, "A tenant's key does not show the owner's jobs."));
    return;
  }
  const waiting = world.jobs.filter((job) => job.state === "waiting").sort((a, b) => a.submitted_us - b.submitted_us);
  const running = world.jobs.filter((job) => job.state === "running" || job.state === "starting").length;
  const promise = Object.fromEntries(world.pools.map((pool) => [pool.settings.id, pool.settings.promise.within_us]));
  const jobs = running === 1 ? "1 job runs" : `${running} jobs run`;
  show(
    place,
    node("p", { class: "figure" }, String(waiting.length), node("span", { class: "unit" }, ` waiting, ${jobs}`)),
    waiting.length
      ? node("ul", { class: "queue" }, waiting.slice(0, 8).map((job) => waitingJob(job, promise[job.pool], nowUs)))
      : node("p", { class: "quiet" }, "No job of the owner waits."),
    waiting.length > 8 && node("p", { class: "quiet" }, `and ${waiting.length - 8} more`),
  );
}

// A job that waits for leased GPUs has a promise; one that waits for the owner's own work has none.
function waitingJob(job, withinUs, nowUs) {
  const since = job.entitled_us;
  const how = since === null
    ? "waits for the owner's own work"
    : `waits ${duration(nowUs - since)}, promised within ${duration(withinUs)}`;
  const late = since !== null && nowUs - since > withinUs;
  return node("li", { class: late ? "late" : "" }, node("strong", {}, job.name), ` ${gpus(job.gpus)}, ${how}`);
}
