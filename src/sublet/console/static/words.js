// How figures are written for people.

const SECOND_US = 1e6;

// micro-units of a currency as a price of one GPU-hour
export function price(micro, currency = "USD") {
  if (micro === null || micro === undefined) return "–";
  return new Intl.NumberFormat("en", { style: "currency", currency, minimumFractionDigits: 4, maximumFractionDigits: 4 })
    .format(micro / 1e6);
}

export function duration(us) {
  const s = Math.max(0, us) / SECOND_US;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 60) return `${Math.round(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;
  if (s < 48 * 3600) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${(s / 86400).toFixed(1)} d`;
}

export function clock(us) {
  return new Date(us / 1000).toLocaleTimeString("en-GB");
}

export function gpus(count) {
  return count === 1 ? "1 GPU" : `${count} GPUs`;
}
