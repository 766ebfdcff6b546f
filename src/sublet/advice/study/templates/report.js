"use strict";
// Draws the figures: those in sight at once, the others while nothing else is to do, those of a pool when it is opened.
(() => {
  const held = JSON.parse(document.getElementById("figures-data").textContent);
  const drawn = new Set();
  const coarse = matchMedia("(pointer: coarse)").matches; // a finger scrolls the page, not the figure

  function draw(canvas, width) {
    const figure = held.figures[canvas.id];
    if (!figure) return;
    const layout = structuredClone(figure.layout);
    if (coarse) layout.dragmode = false;
    if (width) layout.width = width;
    drawn.add(canvas.id);
    Plotly.react(canvas, figure.data, layout, held.config);
  }

  const shown = (canvas) => !canvas.closest("details:not([open])");
  const canvases = () => [...document.querySelectorAll(".canvas")].filter(shown);
  const waiting = canvases();

  function next(deadline) {
    do {
      const canvas = waiting.shift();
      if (!canvas) return document.documentElement.setAttribute("data-drawn", "all");
      if (!drawn.has(canvas.id)) draw(canvas);
    } while (deadline && deadline.timeRemaining() > 30);
    later(next);
  }
  const later = (work) => (window.requestIdleCallback ? requestIdleCallback(work, { timeout: 400 }) : setTimeout(work, 20));

  for (const part of document.querySelectorAll("details")) {
    part.addEventListener("toggle", () => {
      if (part.open) for (const canvas of part.querySelectorAll(".canvas")) if (!drawn.has(canvas.id)) draw(canvas);
    });
  }
  // Paper has another width than the window; text keeps its size, so figures are drawn anew for it and again afterwards.
  const PAPER = 684, GAP = 10;
  addEventListener("beforeprint", () => {
    for (const canvas of canvases()) draw(canvas, paper(canvas));
  });
  addEventListener("afterprint", () => {
    for (const canvas of canvases()) draw(canvas);
  });
  function paper(canvas) {
    const row = canvas.closest(".facets");
    const beside = row ? row.children.length : 1;
    return Math.floor((PAPER - (beside - 1) * GAP) / beside);
  }
  next();
})();
