// The last minutes of a pipeline, from what was seen since the page was opened.

import uPlot from "../vendor/uPlot.esm.js";
import { h, setAttr, setText } from "./dom.js";
import { count, millis, rate, short, time } from "./format.js";
import { live } from "./live.js";

/** Lines differ by their dashes too. */
const CHARTS = [
  {
    title: "Throughput, records a second",
    show: rate,
    axis: short,
    lines: [["read", "Read", []], ["written", "Written", [8, 4]], ["delivered", "Delivered", [2, 3]], ["dead", "Dead letters", [10, 3, 2, 3]]],
  },
  { title: "Lag, records", show: count, axis: short, lines: [["lag", "Lag", []]] },
  {
    title: "Latency end to end, by event time",
    show: millis,
    axis: (n) => (n === 0 ? "0" : millis(n)),
    lines: [["p50", "Half within", []], ["p99", "99 % within", [8, 4]]],
  },
];
const HEIGHT = 180;
/** The least that is shown, in seconds. */
const MINUTE = 60;

function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  return { lines: [1, 2, 3, 4].map((n) => of(`--line-${n}`)), text: of("--text-2"), grid: of("--border") };
}

/** The times that are drawn: all that there are, a minute at least. */
function span({ data: [times] }) {
  const last = times.at(-1) ?? Date.now() / 1000;
  return [Math.min(times[0] ?? last, last - MINUTE), last];
}

function plot(chart, width) {
  const { lines, text, grid } = colours();
  const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 }, font: "11px system-ui, sans-serif" };
  return new uPlot({
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false } },
    scales: { x: { time: true, range: span }, y: { range: (_plot, _low, high) => [0, Math.max(high * 1.1, 4)] } },
    padding: [10, 8, 0, 0],
    axes: [{ ...axis, space: 80, size: 30, values: (_plot, all) => all.map((n) => time(n * 1000)) }, { ...axis, size: 62, values: (_plot, all) => all.map((n) => chart.axis(n)) }],
    series: [{}, ...chart.lines.map(([, label, dash], i) => ({
      label,
      stroke: lines[i],
      width: 2,
      dash: dash.length ? dash : undefined,
      points: { show: false },
      spanGaps: false,
    }))],
  }, null, null);
}

function legend(chart) {
  const values = new Map();
  const list = h("ul", { class: "legend" });
  chart.lines.forEach(([id, label], i) => {
    const value = h("b");
    values.set(id, value);
    list.append(h("li", {}, h("span", { class: `swatch line-${i + 1}`, "aria-hidden": "true" }), h("span", { text: label }), value));
  });
  return { list, values };
}

function lagTable() {
  const rows = h("tbody");
  const table = h("table", {}, h("thead", {}, h("tr", {},
    ...["Group", "Topic", "Partition", "Committed", "End", "Lag"].map((title) => h("th", { scope: "col", text: title })))), rows);
  const details = h("details", { class: "lag-table" }, h("summary", { text: "By partition" }), h("div", { class: "scroll", tabindex: "0", "aria-label": "Lag by partition" }, table));
  const draw = (lags) => {
    details.hidden = !lags?.length;
    if (!details.open || details.hidden) return;
    rows.replaceChildren(...lags.map((one) => h("tr", {},
      h("td", { text: one.group }), h("td", { text: one.topic }),
      ...[one.partition, one.committed, one.end, one.lag].map((n) => h("td", { class: "number", text: count(n) })))));
  };
  details.addEventListener("toggle", () => draw(details.lags));
  return { details, draw };
}

export function charts(root, pipelineName) {
  const box = h("div", { class: "charts" });
  root.append(h("p", { class: "hint", text: "Seen since this page was opened, ten minutes at most." }), box);
  const lags = lagTable();
  const drawn = CHARTS.map((chart) => {
    const place = h("div", { class: "plot", role: "img" });
    const { list, values } = legend(chart);
    const figure = h("figure", { class: "chart" }, h("figcaption", { text: chart.title }), list, place);
    if (chart.lines[0][0] === "lag") figure.append(lags.details);
    box.append(figure);
    return { chart, place, values, figure, plot: undefined };
  });
  const draw = () => {
    const history = live.histories.get(pipelineName);
    const pipeline = live.pipelines.get(pipelineName);
    if (!history) return;
    for (const one of drawn) {
      const width = Math.floor(one.place.clientWidth);
      if (width < 50) continue;
      const data = [history.times, ...one.chart.lines.map(([id]) => history.series[id])];
      if (!one.plot) {
        one.plot = plot(one.chart, width);
        one.place.replaceChildren(one.plot.root);
      } else if (one.plot.width !== width) one.plot.setSize({ width, height: HEIGHT });
      one.plot.setData(data);
      setAttr(one.place, "data-samples", history.times.length);
      const said = one.chart.lines.map(([id, label]) => {
        const text = one.chart.show(history.series[id].at(-1) ?? undefined);
        setText(one.values.get(id), text);
        return `${label} ${text}`;
      });
      setAttr(one.place, "aria-label", `${one.chart.title}: now ${said.join(", ")}`);
    }
    lags.details.lags = pipeline?.lag;
    lags.draw(pipeline?.lag);
  };
  const renew = () => {
    for (const one of drawn) {
      one.plot?.destroy();
      one.plot = undefined;
    }
    draw();
  };
  const watch = new ResizeObserver(draw);
  watch.observe(box);
  // The lines are drawn on a canvas, which does not follow the style sheet.
  document.addEventListener("themechange", renew);
  draw();
  return {
    draw,
    destroy() {
      watch.disconnect();
      document.removeEventListener("themechange", renew);
      for (const one of drawn) one.plot?.destroy();
    },
  };
}
