// The journal as it comes: newest on top, bounded.

import { node } from "./dom.js";
import { clock } from "./words.js";

const KEPT = 80;

export class Journal {
  #place;

  constructor(place) {
    this.#place = place;
    place.replaceChildren(node("li", { class: "quiet" }, "What happens shows here, newest first."));
  }

  add(event) {
    if (!this.#place.querySelector("[data-seq]")) this.#place.replaceChildren();
    const who = event.tenant || event.data.node || (event.kind.startsWith("owner.") ? "owner" : event.pool) || "";
    this.#place.prepend(node(
      "li",
      { "data-seq": event.seq, class: event.kind.startsWith("alarm.") ? "alarm" : "" },
      node("time", { datetime: new Date(event.at_us / 1000).toISOString() }, clock(event.at_us)),
      node("span", { class: `kind ${event.kind.split(".").join(" ")}` }, event.kind.replace(".", " ")),
      node("span", { class: "who" }, event.data.name ? `${who}: ${event.data.name}` : who),
      node("span", { class: "reason" }, event.reason),
    ));
    while (this.#place.childElementCount > KEPT) this.#place.lastElementChild.remove();
  }
}
