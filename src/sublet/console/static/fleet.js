// The fleet: a bar of all GPUs by state, and each node with its GPUs.

import { node, show } from "./dom.js";
import { gpus } from "./words.js";
import { STATES, counted, fleet } from "./world.js";

const NODES_SHOWN = 96;
const MEANING = {
  owner: "the owner's work",
  leased: "leased",
  noticed: "leased, its end announced",
  handover: "changing hands",
  reserve: "kept free for the owner",
  idle: "free",
  down: "not fit for use",
};

export function drawFleet(place, world) {
  if (world.nodes === null) {
    show(place, node("p", { class: "quiet" }, "A tenant's key does not show the fleet. What is for sale: sublet offers."));
    return;
  }
  const nodes = fleet(world);
  const counts = counted(nodes);
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  if (!total) {
    show(place, node("p", { class: "quiet" }, "No node has joined the fleet yet."));
    return;
  }
  const shown = nodes.slice(0, NODES_SHOWN);
  show(
    place,
    bar(counts, total),
    legend(counts),
    node("ul", { class: "nodes", "aria-label": "nodes" }, shown.map(card)),
    nodes.length > shown.length && node("p", { class: "quiet" }, `and ${nodes.length - shown.length} more nodes`),
  );
}

function bar(counts, total) {
  const said = STATES.filter((state) => counts[state]).map((state) => `${counts[state]} ${state}`).join(", ");
  const parts = STATES.filter((state) => counts[state]).map((state) => {
    const part = node("span", { class: `part ${state}` });
    part.style.flexGrow = String(counts[state]);
    return part;
  });
  return node("div", { class: "bar", role: "img", "aria-label": `${gpus(total)}: ${said}` }, parts);
}

function legend(counts) {
  return node("ul", { class: "legend" }, STATES.map((state) => node(
    "li",
    { class: counts[state] ? "" : "none", title: MEANING[state] },
    node("span", { class: `key ${state}`, "aria-hidden": "true" }),
    node("strong", {}, String(counts[state])),
    ` ${state}`,
  )));
}

function card(one) {
  const counts = counted([one]);
  const said = STATES.filter((state) => counts[state]).map((state) => `${counts[state]} ${state}`).join(", ");
  const slots = one.gpus.map((gpu, index) => node("span", {
    class: `gpu ${gpu.state}`,
    title: `GPU ${index}: ${gpu.whose ? `${gpu.whose} (${MEANING[gpu.state]})` : MEANING[gpu.state]}`,
  }));
  return node(
    "li",
    { class: "node" },
    node("span", { class: "node-name", title: one.reason || null }, one.id),
    node("span", { class: "gpus", role: "img", "aria-label": said }, slots),
  );
}
