// One pipeline: its state, its graph with a panel, charts, dead letters, receipts.

import { path, post } from "./api.js";
import { charts } from "./charts.js";
import { deadLetters } from "./dead_letters.js";
import { clear, h, keyed, setAttr, setText } from "./dom.js";
import { clip, count, millis, rate, short, since } from "./format.js";
import { graph } from "./graph.js";
import { setBadge } from "./icons.js";
import { has, live, refresh, replace } from "./live.js";
import { nodePanel } from "./node.js";
import { link } from "./overview.js";
import { act, note, tabs, toast } from "./parts.js";
import { receipts } from "./receipts.js";

export const TABS = [["graph", "Graph"], ["charts", "Charts"], ["dead-letters", "Dead letters"], ["receipts", "Receipts"]];
const ROUTES = { "dead-letters": "/v1/pipelines/{name}/dead-letters", receipts: "/v1/receipts" };
const COLUMNS = [["read", "Read"], ["written", "Written"], ["delivered", "Delivered"], ["lag", "Lag"], ["p99", "p99 end to end"], ["dead", "Dead letters"]];

/** The graph, and the panel of the chosen node beside or below it. */
function graphTab(root, name, chosenNode, go) {
  const side = h("div", { class: "side", hidden: true });
  const place = h("div", { class: "graph-place" });
  const box = h("div", { class: "graph-tab" }, place, side);
  root.append(box);
  let panel;
  let node;
  const picture = graph(place, name, (each) => go(each === node ? undefined : each));
  const choose = (each, isByHand) => {
    if (each === node) return;
    const before = node;
    panel?.destroy();
    panel = undefined;
    node = each;
    side.hidden = !each;
    setAttr(box, "class", each ? "graph-tab has-panel" : "graph-tab");
    clear(side);
    picture.choose(each);
    if (each) {
      panel = nodePanel(side, name, each, () => go(undefined));
      if (isByHand) {
        panel.focus?.();
        // Where the panel lies below the graph.
        if (side.getBoundingClientRect().top > window.innerHeight * 0.6) side.scrollIntoView({ block: "start" });
      }
    } else if (before && isByHand) picture.focus(before);
  };
  choose(chosenNode, false);
  return {
    choose: (each) => choose(each, true),
    draw() {
      picture.draw();
      panel?.draw();
    },
    filter: picture.filter,
    destroy() {
      panel?.destroy();
      picture.destroy();
    },
  };
}

function failureElement(one) {
  return h("li", { class: "problem" },
    h("strong", { text: `${one.node} stands still at ${one.at}: ` }), h("code", { text: one.code }),
    h("span", { text: ` ${clip(one.message, 500)} ` }), h("em", { text: clip(one.next ?? "", 300) }));
}

export function pipeline(root, name, firstTab, firstNode) {
  const state = h("span");
  const why = h("p", { class: "why" });
  const about = h("p", { class: "hint" });
  const change = (button, action, done) => act(button, async () => {
    replace(await post(path([name, action])));
    toast(done);
    await refresh();
  });
  const pause = h("button", { type: "button", text: "Pause", title: "Commits what is done, then reads nothing more", onclick: () => change(pause, "pause", `${name} pauses`) });
  const resume = h("button", { type: "button", class: "primary", text: "Resume", hidden: true, onclick: () => change(resume, "resume", `${name} goes on`) });
  const reload = h("button", {
    type: "button",
    class: "primary",
    text: "Reload",
    title: "Reads the pipeline and its plugins again; takes what differs and checks out",
    onclick: () => act(reload, async () => {
      const answer = await post(path([name, "reload"]));
      for (const one of answer.receipts ?? []) {
        const what = one.problems?.[0]?.message ?? (one.changes ?? []).map((each) => `${each.part} ${each.name}: ${each.what}`).join("; ");
        toast(`Reload #${one.id}: ${one.outcome.replaceAll("_", " ")}${what ? `, ${what}` : ""}`, one.outcome === "refused");
      }
      inner?.draw?.();
    }),
  });
  const cells = Object.fromEntries(COLUMNS.map(([id]) => [id, h("dd")]));
  const failures = h("ul", { class: "failures", "aria-label": "Partitions that stand still" });
  const missing = h("p", { class: "hint missing" });
  let shown;
  let inner;
  const go = (id, node) => {
    location.hash = link(name, id, ...(node ? [node] : []));
  };
  const bar = tabs(`Of ${name}`, "pipeline", TABS, (id) => go(id));
  const body = bar.panel();
  const gone = note(`There is no pipeline ${name} in this process.`);
  const whole = h("div", {},
    h("div", { class: "title" },
      h("div", {}, h("div", { class: "title-line" }, h("h1", { text: name }), state), why, about),
      h("div", { class: "buttons" }, pause, resume, reload)),
    h("dl", { class: "numbers strip" }, ...COLUMNS.map(([id, title]) => h("div", {}, h("dt", { text: title }), cells[id]))),
    failures, bar.list, missing, body);
  root.append(whole, gone);

  const draw = () => {
    const now = live.pipelines.get(name);
    whole.hidden = !now;
    gone.hidden = Boolean(now) || !live.loaded;
    if (!now) return;
    const rates = live.histories.get(name)?.rates ?? {};
    setBadge(state, now.state);
    setText(why, now.why ?? "");
    why.hidden = !now.why;
    setText(about, [now.file, now.started && `for ${since(now.started)}`].filter(Boolean).join(" · "));
    setText(cells.read, rate(rates.read));
    setText(cells.written, rate(rates.written));
    setText(cells.delivered, rate(rates.delivered));
    setText(cells.lag, short(now.lag_total));
    setText(cells.p99, millis(rates.p99));
    const dead = now.counters?.dead_letters;
    setText(cells.dead, count(dead));
    setAttr(cells.dead, "class", dead > 0 ? "is-warning" : null);
    bar.setCount("dead-letters", dead > 0 ? short(dead) : "");
    const isPaused = now.paused ?? now.state === "paused";
    const isOver = now.state === "stopped" || now.state === "failed";
    pause.hidden = isPaused || isOver || !has("/v1/pipelines/{name}/pause");
    resume.hidden = !isPaused || isOver || !has("/v1/pipelines/{name}/resume");
    reload.hidden = isOver || !has("/v1/pipelines/{name}/reload");
    keyed(failures, now.failures ?? [], (one) => `${one.at} ${one.node}`, failureElement);
    failures.hidden = !now.failures?.length;
    const without = Object.entries(ROUTES).filter(([, route]) => !has(route)).map(([id]) => id);
    for (const [id] of TABS) bar.hide(id, without.includes(id));
    missing.hidden = without.length === 0;
    setText(missing, `This process does not show ${without.join(" and ").replaceAll("-", " ")}.`);
    if (!inner) open(shown ?? { tab: firstTab, node: firstNode });
    else inner.draw?.();
  };
  const open = ({ tab, node }) => {
    const known = TABS.some(([id]) => id === tab) ? tab : "graph";
    shown = { tab: known, node };
    if (!live.pipelines.has(name)) return;
    bar.select(known);
    bar.label(body, known);
    if (inner?.tab === known) {
      inner.choose?.(node);
      return;
    }
    inner?.destroy();
    clear(body);
    const views = {
      graph: () => graphTab(body, name, node, (each) => go("graph", each)),
      charts: () => charts(body, name),
      "dead-letters": () => deadLetters(body, name),
      receipts: () => receipts(body, name),
    };
    // By its address a tab that is left out may still be asked for.
    const isHad = !ROUTES[known] || has(ROUTES[known]);
    inner = isHad ? views[known]() : { destroy() {} };
    inner.tab = known;
    if (wanted) inner.filter?.(wanted);
    inner.draw?.();
  };
  let wanted = "";
  draw();
  return {
    title: name,
    crumb: name,
    update: draw,
    open: (tab, node) => open({ tab, node }),
    /** Closes the panel, if one is open. */
    back: () => shown?.node && go(shown.tab),
    filter(text) {
      wanted = text;
      inner?.filter?.(text);
    },
    destroy: () => inner?.destroy(),
  };
}
