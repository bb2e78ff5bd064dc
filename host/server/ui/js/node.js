// What is known of one node: numbers, its tap, its state.

import { clear, h } from "./dom.js";
import { bytes, count, DASH, millis, rate, seconds, short } from "./format.js";
import { parts, standing, WORDS } from "./graph.js";
import { badge } from "./icons.js";
import { has, live } from "./live.js";
import { facts, tabs, whole } from "./parts.js";
import { state as stateBrowser } from "./state.js";
import { tap } from "./tap.js";

/** What a limit is; its unit is in its name. */
function limit(name, value) {
  if (/_bytes(_|$)/.test(name)) return bytes(Number(value));
  if (/_ms(_|$)/.test(name)) return millis(Number(value));
  return typeof value === "number" ? count(value) : String(value);
}

/** How much of a limit is used: a bar, and the same in words. */
function meter(used, most, words) {
  if (typeof used !== "number" || !(most > 0)) return words;
  return h("span", { class: "metered" },
    h("meter", { min: 0, max: most, high: most * 0.8, value: Math.min(used, most), "aria-label": words }), h("span", { text: words }));
}

function limits(transform) {
  const all = transform.limits ?? {};
  const memory = all.memory_bytes;
  const used = transform.memory_peak_bytes;
  const rest = Object.entries(all).filter(([name]) => !name.startsWith("memory_"));
  return [
    ["Memory, at most so far", meter(used, memory, memory ? `${bytes(used)} of ${bytes(memory)}` : bytes(used))],
    ...(transform.limits ? [] : [["Limits", DASH]]),
    ...rest.map(([name, value]) => [`Limit: ${name.replace(/_(bytes|ms)(?=_|$)/, "").replaceAll("_", " ")}`, limit(name, value)]),
  ];
}

function plugin(transform) {
  return [
    ["Plugin", transform.plugin ?? DASH],
    ["Digest", h("code", { class: "digest", text: transform.digest ?? DASH })],
    ["Stores", transform.stores?.join(", ") || "none"],
  ];
}

function details(node, pipeline) {
  const rates = live.histories.get(pipeline.name)?.nodes.get(node.name) ?? {};
  const transform = pipeline.transforms?.find((one) => one.name === node.name);
  const own = transform?.latency ?? node.latency;
  const state = standing(node, pipeline, rates);
  const pairs = [
    ["State", badge(state, WORDS[state])],
    ["Kind", node.label && node.label !== node.kind && !transform ? `${node.kind}, ${node.label}` : node.kind],
    ...(transform ? plugin(transform) : []),
    ["In", `${rate(rates.in)}, ${short(node.records_in ?? transform?.records)} in all`],
    ["Out", `${rate(rates.out)}, ${short(node.records_out)} in all`],
    ["Errors", `${rate(rates.errors)}, ${count(node.errors ?? transform?.failed_records)} in all`],
    ["Latency now", `p50 ${millis(rates.p50)}, p99 ${millis(rates.p99)}`],
    ["Latency since the start", `p50 ${millis(own?.p50_ms)}, p99 ${millis(own?.p99_ms)}`],
  ];
  if (!transform) return [...pairs, ["Lag", short(node.lag)]];
  return [
    ...pairs,
    ["Calls", `${count(transform.calls)}, ${count(transform.traps)} of them trapped`],
    ["Processor", `${seconds(transform.cpu_seconds)}${rates.cpu === undefined ? "" : `, now ${(rates.cpu * 100).toFixed(1)} % of a core`}`],
    ...limits(transform),
  ];
}

/** Another version that runs on the same records, and what it does differently. */
function shadow(candidate) {
  const differs = candidate.differences > 0 || candidate.failed_calls > 0;
  const said = `${count(candidate.differences)} of ${count(candidate.records)} records differ, ${count(candidate.failed_calls)} calls failed`;
  const box = h("section", { class: "shadow", "aria-label": "Shadow" },
    h("h3", { text: `Shadow: ${candidate.plugin}` }), badge(differs ? "degraded" : "running", differs ? "differs" : "the same"),
    h("p", { text: said }), h("code", { class: "digest", text: candidate.digest ?? DASH }));
  for (const one of (candidate.examples ?? []).slice(-5)) box.append(whole(one));
  return box;
}

function failures(node, pipeline) {
  return (pipeline.failures ?? []).filter((one) => one.node === node.name).map((one) => h("div", { class: "problem" },
    h("strong", { text: `${one.code} at ${one.at}: ` }), h("span", { text: `${one.message} ` }), h("em", { text: one.next ?? "" })));
}

/** The panel of a node. `close` is called by its button. */
export function nodePanel(root, pipelineName, nodeName, close) {
  const find = () => {
    const pipeline = live.pipelines.get(pipelineName);
    return { pipeline, node: pipeline && parts(pipeline).nodes.find((one) => one.name === nodeName) };
  };
  const { node, pipeline } = find();
  const panel = h("section", { class: "panel", "aria-label": `Node ${nodeName}`, tabindex: "-1" });
  root.replaceChildren(panel);
  if (!node) {
    panel.append(h("p", { class: "empty", text: `There is no node ${nodeName} any more.` }));
    return { draw() {}, destroy() {} };
  }
  const transform = pipeline.transforms?.find((one) => one.name === nodeName);
  let inner;
  let shown;
  const bar = tabs(`Of ${nodeName}`, "node", [["details", "Details"], ["tap", "Tap"], ["state", "State"]], (id) => select(id));
  const body = bar.panel();
  const select = (id) => {
    inner?.destroy?.();
    inner = undefined;
    shown = id;
    clear(body);
    bar.select(id);
    bar.label(body, id);
    if (id === "tap") inner = tap(body, pipelineName, nodeName);
    if (id === "state") inner = stateBrowser(body, pipelineName, nodeName);
    if (id === "details") draw();
  };
  const draw = () => {
    const now = find();
    if (shown !== "details" || !now.node || body.contains(document.activeElement)) return;
    if (!document.getSelection()?.isCollapsed && body.contains(document.getSelection().anchorNode)) return;
    body.replaceChildren(...failures(now.node, now.pipeline), facts(details(now.node, now.pipeline)));
    const candidate = now.pipeline.transforms?.find((one) => one.name === nodeName)?.shadow;
    if (candidate) body.append(shadow(candidate));
  };
  const withoutTap = !has("/v1/pipelines/{name}/tap/{node}");
  const withoutState = node.kind === "transform" && !has("/v1/pipelines/{name}/state/{transform}");
  bar.hide("tap", withoutTap);
  bar.hide("state", withoutState || node.kind !== "transform" || !transform?.stores?.length);
  const missing = [withoutTap && "records", withoutState && "state"].filter(Boolean);
  panel.append(
    h("div", { class: "panel-head" }, h("h2", { text: nodeName }),
      h("button", { type: "button", class: "quiet", "aria-label": "Close the panel", title: "Close (Esc)", text: "×", onclick: close })),
    bar.list, body,
    missing.length ? h("p", { class: "hint", text: `This process does not show ${missing.join(" and ")}.` }) : "");
  select("details");
  return { draw, destroy: () => inner?.destroy?.(), focus: () => panel.focus({ preventScroll: true }) };
}
