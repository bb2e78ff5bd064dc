// All pipelines of the process.

import { post } from "./api.js";
import { h, keyed, s, setAttr, setText } from "./dom.js";
import { count, millis, rate, short, since } from "./format.js";
import { setBadge } from "./icons.js";
import { has, live } from "./live.js";
import { act, note, toast } from "./parts.js";

const COLUMNS = [
  ["read", "Read"],
  ["written", "Written"],
  ["delivered", "Delivered"],
  ["lag", "Lag"],
  ["p99", "p99"],
  ["dead", "Dead letters"],
];

/** The reads of the last minute as a line. Its numbers stand beside it. */
function spark() {
  const line = s("polyline", { points: "" });
  return s("svg", { class: "spark", viewBox: "0 0 100 24", preserveAspectRatio: "none", "aria-hidden": "true" }, line);
}

function drawSpark(svg, values) {
  const last = values.slice(-60).map((n) => n ?? 0);
  const top = Math.max(...last, 1e-9);
  const points = last.map((n, i) => `${((60 - last.length + i) / 59) * 100},${22.5 - (n / top) * 20}`);
  setAttr(svg.firstChild, "points", last.length > 1 ? points.join(" ") : "");
}

export function link(name, ...rest) {
  return `#/pipelines/${[name, ...rest].map(encodeURIComponent).join("/")}`;
}

function counted(all, what) {
  return all && `${all.length} ${what}${all.length === 1 ? "" : "s"}`;
}

function card(pipeline) {
  const cells = {};
  const numbers = h("dl", { class: "numbers" });
  for (const [id, title] of COLUMNS) {
    cells[id] = h("dd");
    numbers.append(h("div", {}, h("dt", { text: title }), cells[id]));
  }
  const state = h("span");
  const why = h("p", { class: "why" });
  const about = h("p", { class: "hint" });
  const line = spark();
  const item = h("li", { class: "card" },
    h("div", { class: "card-head" }, h("a", { href: link(pipeline.name), class: "card-name", text: pipeline.name }), state),
    why, line, numbers, about);
  item.parts = { cells, state, why, about, line };
  return item;
}

function update(item, pipeline) {
  const { cells, state, why, about, line } = item.parts;
  const history = live.histories.get(pipeline.name);
  const rates = history?.rates ?? {};
  setBadge(state, pipeline.state);
  setAttr(item, "class", `card is-${pipeline.state}`);
  setText(why, pipeline.why ?? "");
  why.hidden = !pipeline.why;
  setText(cells.read, rate(rates.read));
  setText(cells.written, rate(rates.written));
  setText(cells.delivered, rate(rates.delivered));
  setText(cells.lag, short(pipeline.lag_total));
  setText(cells.p99, millis(rates.p99));
  setText(cells.dead, count(pipeline.counters?.dead_letters));
  setAttr(cells.dead, "class", pipeline.counters?.dead_letters > 0 ? "is-warning" : null);
  const parts = [counted(pipeline.transforms, "transform"), counted(pipeline.sinks, "sink"), pipeline.started && `for ${since(pipeline.started)}`, pipeline.file];
  setText(about, parts.filter(Boolean).join(" · "));
  drawSpark(line, history?.series.read ?? []);
}

export function overview(root) {
  let wanted = "";
  const summary = h("p", { class: "hint" });
  const reload = h("button", {
    type: "button",
    text: "Reload all",
    title: "Reads all pipelines and plugins again; takes what differs and checks out",
    onclick: () => act(reload, async () => {
      const { receipts } = await post("/v1/reload");
      const refused = receipts.filter((one) => one.outcome === "refused").length;
      toast(`${receipts.length} reloaded, ${refused} of them refused`, refused > 0);
    }),
  });
  const list = h("ul", { class: "cards", "aria-label": "Pipelines" });
  const empty = note("");
  root.append(
    h("div", { class: "title" }, h("div", {}, h("h1", { text: "Pipelines" }), summary), h("div", { class: "buttons" }, reload)),
    list, empty);
  const draw = () => {
    const all = [...live.pipelines.values()];
    const shown = all.filter((one) => `${one.name} ${one.state} ${one.why ?? ""}`.toLowerCase().includes(wanted));
    keyed(list, shown, (one) => one.name, card, update);
    const running = all.filter((one) => one.state === "running").length;
    setText(summary, live.loaded ? `${running} of ${all.length} running` : "");
    reload.hidden = !has("/v1/reload");
    empty.hidden = shown.length > 0;
    if (!live.loaded) setText(empty, live.error ? "Nothing is known yet." : "Asking…");
    else setText(empty, all.length === 0 ? "This process runs no pipeline." : "No pipeline is like that.");
  };
  draw();
  return {
    title: "Pipelines",
    crumb: "",
    update: draw,
    filter: (text) => {
      wanted = text.toLowerCase();
      draw();
    },
    destroy: () => {},
  };
}
