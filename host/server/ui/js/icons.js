// Small pictures: states, kinds of nodes, buttons. Each stands beside a text that says the same.

import { h, s } from "./dom.js";

const SHAPES = {
  running: "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2z",
  starting: "M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1zm0 2v10a5 5 0 0 0 0-10z",
  degraded: "M8 1.5 15.5 14.5H.5zM7.2 6l.3 4.5h1L8.8 6zM7.3 11.5v1.5h1.4v-1.5z",
  paused: "M3 2h3.5v12H3zM9.5 2H13v12H9.5z",
  stopped: "M2.5 2.5h11v11h-11z",
  failed: "M3.8 1.7 8 5.9l4.2-4.2 2.1 2.1L10.1 8l4.2 4.2-2.1 2.1L8 10.1l-4.2 4.2-2.1-2.1L5.9 8 1.7 3.8z",
  idle: "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2zm0 2a4 4 0 1 0 0 8 4 4 0 0 0 0-8z",
  source: "M1.5 3h7l6 5-6 5h-7l4-5z",
  transform: "M4.5 1.5h7L15 8l-3.5 6.5h-7L1 8z",
  sink: "M2 4c0-3 12-3 12 0v8c0 3-12 3-12 0zm2 .4c2 1 6 1 8 0v1.5c-2 1-6 1-8 0z",
  topic: "M1.5 4h3.5v8H1.5zM6.2 4h3.6v8H6.2zM11 4h3.5v8H11z",
  light: "M8 4.5a3.5 3.5 0 1 1 0 7 3.5 3.5 0 0 1 0-7zM7.3 0h1.4v2.8H7.3zM7.3 13.2h1.4V16H7.3zM0 7.3h2.8v1.4H0zM13.2 7.3H16v1.4h-2.8zM2.8 1.8l2 2-1 1-2-2zM12.2 11.2l2 2-1 1-2-2zM13.2 1.8l1 1-2 2-1-1zM3.8 11.2l1 1-2 2-1-1z",
  dark: "M6.5 1.2a6.8 6.8 0 1 0 8.3 8.3A5.8 5.8 0 0 1 6.5 1.2z",
  system: "M1 2.5h14v9H9v1.5h2.5V14.5h-7V13H7v-1.5H1zM2.5 4v6h11V4z",
  token: "M5 4.5a3.5 3.5 0 1 1-.001 7A3.5 3.5 0 0 1 5 4.5zm0 2a1.5 1.5 0 1 0 .001 3A1.5 1.5 0 0 0 5 6.5zM8 7.2h7.5v3.3h-1.6V8.8h-1.4v1.7h-1.6V8.8H8z",
};

/** A small picture beside a text that says the same. */
export function icon(name) {
  return s(
    "svg",
    { class: `icon icon-${name}`, viewBox: "0 0 16 16", width: 14, height: 14, "aria-hidden": "true", focusable: "false" },
    s("path", { d: SHAPES[name] ?? SHAPES.idle, "fill-rule": "evenodd" }),
  );
}

/** A state as a shape and a word; the word may be another. */
export function badge(state, word) {
  return h("span", { class: `badge is-${state}` }, icon(state), h("span", { text: word ?? state }));
}

export function setBadge(element, state) {
  if (element.dataset.state === state) return;
  element.dataset.state = state;
  element.className = `badge is-${state}`;
  element.replaceChildren(icon(state), h("span", { text: state }));
}
