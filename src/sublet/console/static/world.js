// What the page knows: the last answers of the API, and the GPUs' states derived from them.

export const STATES = ["owner", "leased", "noticed", "handover", "reserve", "idle", "down"];
const RUNNING = new Set(["active", "noticed"]);
const HELD = new Set(["reserved", "starting", "active", "noticed", "stopping", "handover"]);
const OPEN = ["requested", "queued", "paused", "reserved", "starting", "active", "noticed", "stopping", "handover"];
const JOBS_OPEN = ["waiting", "starting", "running", "stopping", "handover"];
const LIMIT = 500;

// Everything at once; what the key may not see is null.
export async function look(api) {
  const leasePath = `/v1/leases?limit=${LIMIT}&${OPEN.map((state) => `state=${state}`).join("&")}`;
  const jobPath = `/v1/jobs?limit=${LIMIT}&${JOBS_OPEN.map((state) => `state=${state}`).join("&")}`;
  const [pools, leases, nodes, jobs, status] = await Promise.all([
    api.get("/v1/pools"),
    api.get(leasePath),
    api.getIfAllowed("/v1/nodes"),
    api.getIfAllowed(jobPath),
    api.getIfAllowed("/v1/status"),
  ]);
  return {
    pools: pools.items,
    leases: leases.items,
    moreLeases: Boolean(leases.next),
    nodes: nodes && nodes.items,
    jobs: jobs && jobs.items,
    status,
  };
}

// For each node: its pool, and for each of its GPUs {state, whose}. The reserve is taken from the free GPUs of its pool.
export function fleet(world) {
  const nodes = new Map(world.nodes.map((one) => [one.id, {
    id: one.id,
    pool: one.pool,
    reason: one.reason,
    gpus: Array.from({ length: one.gpus }, () => ({ state: one.down ? "down" : "idle", whose: "" })),
  }]));
  const take = (placement, state, whose) => {
    for (const place of placement) {
      for (const gpu of place.gpus) {
        const slot = nodes.get(place.node)?.gpus[gpu];
        if (slot) Object.assign(slot, { state, whose });
      }
    }
  };
  for (const lease of world.leases) {
    if (HELD.has(lease.state)) take(lease.placement, gpuState(lease), `${lease.tenant}: ${lease.name}`);
  }
  for (const job of world.jobs || []) {
    take(job.placement, job.state === "handover" ? "handover" : "owner", job.is_hold ? "hold" : job.name);
  }
  keepReserve(world.pools, nodes);
  return [...nodes.values()];
}

function gpuState(lease) {
  if (!RUNNING.has(lease.state)) return "handover";
  return lease.state === "noticed" ? "noticed" : "leased";
}

function keepReserve(pools, nodes) {
  const left = new Map(pools.map((pool) => [pool.settings.id, pool.reserve]));
  for (const one of nodes.values()) {
    for (const gpu of one.gpus) {
      if (gpu.state === "idle" && left.get(one.pool) > 0) {
        gpu.state = "reserve";
        left.set(one.pool, left.get(one.pool) - 1);
      }
    }
  }
}

// GPUs by state over a list of nodes.
export function counted(nodes) {
  const counts = Object.fromEntries(STATES.map((state) => [state, 0]));
  for (const one of nodes) for (const gpu of one.gpus) counts[gpu.state] += 1;
  return counts;
}
