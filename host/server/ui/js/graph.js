// The live picture of a pipeline: nodes, and edges with what goes over them.

import { h, s, setAttr, setText } from "./dom.js";
import { DASH, millis, rate, short } from "./format.js";
import { edgeRate } from "./history.js";
import { icon } from "./icons.js";
import { layout, NODE } from "./layout.js";
import { live } from "./live.js";

/** Text smaller than this share of its size is scrolled, not shrunk. */
const SCALE_MIN = 0.72;

/** Nodes and edges; from the lists of transforms and sinks where the process does not tell them. */
export function parts(pipeline) {
  if (pipeline.nodes?.length) return { nodes: pipeline.nodes, edges: pipeline.edges ?? [], isWhole: Boolean(pipeline.edges) };
  const transforms = (pipeline.transforms ?? []).map((one) => ({ name: one.name, kind: "transform", label: one.plugin }));
  const sinks = (pipeline.sinks ?? []).map((name) => ({ name, kind: "sink" }));
  return { nodes: [...transforms, ...sinks], edges: [], isWhole: false };
}

/** How a node does, in a word that has a shape and a colour. */
export function standing(node, pipeline, rates) {
  if (pipeline.failures?.some((one) => one.node === node.name)) return "failed";
  if (pipeline.state === "failed" || pipeline.state === "stopped" || pipeline.state === "paused") return pipeline.state;
  if (rates?.errors > 0) return "degraded";
  if (rates?.in > 0 || rates?.out > 0) return "running";
  // A rate takes two answers of the API.
  if (rates?.in === undefined && rates?.out === undefined) return "unknown";
  return "idle";
}

export const WORDS = { failed: "stands still", degraded: "errors", running: "flowing", idle: "idle", paused: "paused", stopped: "stopped", unknown: "not known" };

function fit(text, length) {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

export function graph(root, pipelineName, choose) {
  const box = h("div", { class: "graph", tabindex: "-1" });
  const svg = s("svg", { role: "group", "aria-label": `Graph of ${pipelineName}` });
  const missing = h("p", { class: "hint", hidden: true, text: "This process does not tell how its parts are connected." });
  box.append(svg);
  root.append(box, missing);
  let drawn = "";
  let elements = { nodes: new Map(), edges: [] };
  let size = { width: 0, height: 0 };
  let chosen;
  let wanted = "";

  const nodeElement = (node, place) => {
    const lines = { in: s("tspan"), out: s("tspan"), state: s("tspan"), more: s("tspan") };
    const mark = s("g", { class: "node-mark", transform: `translate(${NODE.width - 22} 9)` });
    const element = s("g", {
      class: "node",
      transform: `translate(${place.x - NODE.width / 2} ${place.y - NODE.height / 2})`,
      tabindex: "0",
      role: "button",
      "data-node": node.name,
      onclick: () => choose(node.name),
      onkeydown: (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          choose(node.name);
        } else if (event.key.startsWith("Arrow")) move(event, node.name);
      },
    },
    s("title", { text: `${node.kind} ${node.name}${node.label ? ` (${node.label})` : ""}` }),
    s("rect", { class: "node-box", width: NODE.width, height: NODE.height, rx: 10 }),
    s("g", { class: "node-kind", transform: "translate(12 10)" }, icon(node.kind)),
    s("text", { class: "node-name", x: 33, y: 22 }, s("tspan", { text: fit(node.name, 17) })),
    mark,
    s("text", { class: "node-label", x: 12, y: 40 }, s("tspan", { text: fit(`${node.kind}${node.label && node.label !== node.kind ? ` · ${node.label}` : ""}`, 31) })),
    s("text", { class: "node-numbers", x: 12, y: 61 }, s("tspan", { class: "faint", text: "in " }), lines.in, s("tspan", { class: "faint", text: "  out " }), lines.out),
    s("text", { class: "node-numbers", x: 12, y: 80 }, lines.state, lines.more));
    element.parts = { lines, mark };
    return element;
  };

  /** Arrow keys go to the nearest node on that side. */
  const move = (event, from) => {
    const sides = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
    const [dx, dy] = sides[event.key] ?? [0, 0];
    const here = elements.places.get(from);
    let best;
    for (const [name, place] of elements.places) {
      const along = (place.x - here.x) * dx + (place.y - here.y) * dy;
      const across = Math.abs((place.x - here.x) * dy) + Math.abs((place.y - here.y) * dx);
      if (name === from || along <= 1) continue;
      const distance = along + 2 * across;
      if (!best || distance < best.distance) best = { name, distance };
    }
    if (!best) return;
    event.preventDefault();
    elements.nodes.get(best.name).focus();
  };

  const edgeElement = (edge, way) => {
    const number = s("text", { class: "edge-rate", x: way.x, y: way.y - 2 });
    const below = s("text", { class: "edge-label", x: way.x, y: way.y + 11 });
    const flow = s("path", { class: "edge-flow", d: way.path });
    const back = s("rect", { class: "edge-back", rx: 4 });
    const element = s("g", { class: "edge" },
      s("title", { text: `${edge.from} to ${edge.to}${edge.port ? `, port ${edge.port}` : ""}${edge.topic ? `, through topic ${edge.topic}` : ""}` }),
      s("path", { class: "edge-line", d: way.path, "marker-end": "url(#arrow)" }), flow, back, number, below);
    element.parts = { number, below, flow, back, way };
    return element;
  };

  const redraw = (nodes, edges, direction, found) => {
    const focused = document.activeElement?.closest?.("[data-node]")?.dataset.node;
    size = found;
    const arrow = s("defs", {}, s("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 8, markerHeight: 8, markerUnits: "userSpaceOnUse", orient: "auto" },
      s("path", { d: "M0 .5 8 4 0 7.5z", class: "edge-arrow" })));
    elements = { nodes: new Map(), edges: [], places: found.places };
    const lines = s("g");
    edges.forEach((edge, i) => {
      if (!found.ways.has(i)) return;
      const element = edgeElement(edge, found.ways.get(i));
      elements.edges.push([edge, element]);
      lines.append(element);
    });
    const boxes = s("g");
    // In the order in which records pass them, so that Tab follows the stream.
    const along = (name) => found.places.get(name);
    const order = [...nodes].sort((a, b) => (direction === "LR"
      ? along(a.name).x - along(b.name).x || along(a.name).y - along(b.name).y
      : along(a.name).y - along(b.name).y || along(a.name).x - along(b.name).x));
    for (const node of order) {
      const element = nodeElement(node, found.places.get(node.name));
      elements.nodes.set(node.name, element);
      boxes.append(element);
    }
    svg.replaceChildren(arrow, lines, boxes);
    setAttr(svg, "viewBox", `0 0 ${found.width} ${found.height}`);
    if (focused) elements.nodes.get(focused)?.focus();
  };

  const fitSize = () => {
    const scale = Math.min(Math.max((box.clientWidth - 2) / (size.width || 1), SCALE_MIN), 1);
    setAttr(svg, "width", Math.floor(size.width * scale));
    setAttr(svg, "height", Math.floor(size.height * scale));
  };

  const updateNode = (node, element, pipeline, rates) => {
    const { lines, mark } = element.parts;
    const state = standing(node, pipeline, rates);
    const lag = node.lag ?? undefined;
    setText(lines.in, rate(rates?.in));
    setText(lines.out, node.kind === "topic" ? DASH : rate(rates?.out));
    const more = [];
    if (rates?.p99 !== undefined) more.push(`p99 ${millis(rates.p99)}`);
    if (lag !== undefined) more.push(`lag ${short(lag)}`);
    // Where all is well the mark says enough, and the numbers have the room.
    const isBusy = more.length > 1 && state === "running";
    const word = state === "degraded" ? `${rate(rates.errors)} errors` : WORDS[state] ?? state;
    setText(lines.state, isBusy ? "" : word);
    setAttr(lines.state, "class", `word is-${state}`);
    setText(lines.more, `${more.length && !isBusy ? " · " : ""}${fit(more.join(" · "), isBusy ? 33 : 31 - word.length)}`);
    if (mark.dataset.state !== state) {
      mark.dataset.state = state;
      mark.replaceChildren(icon(state));
    }
    const isDim = wanted !== "" && !`${node.name} ${node.kind} ${node.label ?? ""}`.toLowerCase().includes(wanted);
    setAttr(element, "class", `node is-${state}${node.name === chosen ? " is-chosen" : ""}${isDim ? " is-dim" : ""}`);
    setAttr(element, "aria-pressed", String(node.name === chosen));
    setAttr(element, "aria-label", `${node.kind} ${node.name}, ${WORDS[state] ?? state}, in ${rate(rates?.in)}, out ${rate(rates?.out)}, errors ${rate(rates?.errors)}`
      + `${rates?.p99 === undefined ? "" : `, p99 ${millis(rates.p99)}`}${lag === undefined ? "" : `, lag ${short(lag)}`}`);
  };

  const draw = () => {
    const pipeline = live.pipelines.get(pipelineName);
    if (!pipeline) return;
    const { nodes, edges, isWhole } = parts(pipeline);
    missing.hidden = isWhole || nodes.length === 0;
    const plan = JSON.stringify([box.clientWidth, nodes.map((n) => [n.name, n.kind, n.label]), edges.map((e) => [e.from, e.to, e.port, e.topic])]);
    if (plan !== drawn) {
      drawn = plan;
      // Along the line of reading where there is room for it, else from top to bottom.
      const wide = layout(nodes, edges, "LR");
      const isWide = wide.width * SCALE_MIN <= box.clientWidth || nodes.length < 2;
      redraw(nodes, edges, isWide ? "LR" : "TB", isWide ? wide : layout(nodes, edges, "TB"));
    }
    fitSize();
    const rates = live.histories.get(pipelineName)?.nodes ?? new Map();
    for (const node of nodes) {
      const element = elements.nodes.get(node.name);
      if (element) updateNode(node, element, pipeline, rates.get(node.name));
    }
    for (const [edge, element] of elements.edges) {
      const { number, below, flow, back, way } = element.parts;
      const flowing = edgeRate(edge, edges, rates);
      const between = (pipeline.lag ?? []).filter((one) => one.topic === edge.topic);
      const lag = edge.topic && between.length ? between.reduce((sum, one) => sum + one.lag, 0) : undefined;
      setText(number, rate(flowing));
      const isPlain = !edge.port || edge.port === "out";
      setText(below, lag !== undefined ? `lag ${short(lag)}` : edge.topic ? "topic" : isPlain ? "" : fit(edge.port, 12));
      // So that the line does not run through the text.
      const width = 7.4 * Math.max(number.textContent.length, below.textContent.length) + 6;
      setAttr(back, "x", way.x - width / 2);
      setAttr(back, "y", way.y - 13);
      setAttr(back, "width", width);
      setAttr(back, "height", below.textContent === "" ? 16 : 28);
      setAttr(flow, "class", `edge-flow${flowing > 0 ? " is-moving" : ""}`);
      setAttr(flow, "stroke-width", (1.5 + Math.min(Math.log10(1 + (flowing || 0)), 5) * 0.5).toFixed(1));
    }
  };
  const watch = new ResizeObserver(draw);
  watch.observe(box);
  return {
    draw,
    choose(name) {
      chosen = name;
      draw();
    },
    focus: (name) => elements.nodes.get(name)?.focus(),
    filter(text) {
      wanted = text.toLowerCase();
      draw();
    },
    destroy: () => watch.disconnect(),
  };
}
