// Records that failed: looking at them, replaying, discarding.

import { get, path, post } from "./api.js";
import { clear, h, keyed, setText } from "./dom.js";
import { clip, count, DASH, time } from "./format.js";
import { live } from "./live.js";
import { act, confirm, facts, inline, note, problem, toast, whole } from "./parts.js";
import { headerList } from "./tap.js";

const LIMIT = 50;
const id = (letter) => `${letter.partition}:${letter.offset}`;
const at = (letter) => letter.at ?? letter.timestamp;
const plural = (n) => `${count(n)} dead letter${n === 1 ? "" : "s"}`;

function place(from) {
  return from ? `${from.topic}:${from.partition}:${from.offset}` : DASH;
}

function content(letter) {
  const box = h("div", { class: "letter-body" });
  const pairs = [
    ["Message", clip(letter.message ?? DASH, 2_000)],
    ["Code", letter.code ?? DASH],
    ["Node", letter.plugin ? `${letter.node}, plugin ${letter.plugin}` : letter.node ?? DASH],
    ["Record that was read", place(letter.input ?? letter.origin)],
    ["Caused by", place(letter.origin)],
    ["Time of the record", time(at(letter))],
    ["Kept at", id(letter)],
  ];
  if (letter.timer) pairs.push(["Timer", letter.timer]);
  box.append(facts(pairs));
  if (letter.detail) box.append(h("h3", { text: "Detail" }), whole(letter.detail));
  box.append(h("h3", { text: "Key" }), whole(letter.key), h("h3", { text: "Value" }), whole(letter.value));
  if (letter.headers?.length) box.append(h("h3", { text: "Headers" }), headerList(letter.headers));
  return box;
}

export function deadLetters(root, pipeline) {
  let letters = [];
  let next;
  let total;
  let wanted = "";
  let countedAt;
  let gone = false;
  const chosen = new Set();
  const opened = new Set();
  const again = h("button", { type: "button", text: "Refresh", onclick: () => act(again, () => load(false)) });
  const replay = h("button", { type: "button", text: "Replay", onclick: () => act(replay, () => decide("replay", [...chosen])) });
  const discard = h("button", { type: "button", class: "danger", text: "Discard", onclick: () => act(discard, () => decide("discard", [...chosen])) });
  const replayAll = h("button", { type: "button", text: "Replay all open", onclick: () => act(replayAll, () => decide("replay", "all")) });
  const about = h("p", { class: "hint", role: "status", text: "Asking…" });
  const trouble = h("div");
  const list = h("ul", { class: "letters", "aria-label": "Dead letters" });
  const more = h("button", { type: "button", text: "More", hidden: true, onclick: () => act(more, () => load(true)) });
  root.append(h("div", { class: "buttons bar" }, replay, discard, replayAll, again), about, trouble, list, more);

  const element = (letter) => {
    const key = id(letter);
    const pick = h("input", {
      type: "checkbox",
      "aria-label": `Choose ${key}`,
      onchange: () => {
        if (pick.checked) chosen.add(key);
        else chosen.delete(key);
        draw();
      },
    });
    const state = h("span", { class: "letter-state" });
    const place = h("div");
    const open = h("button", {
      type: "button",
      class: "letter-head",
      "aria-expanded": "false",
      onclick: () => act(open, () => toggle()),
    },
    h("span", { class: "letter-line" },
      h("span", { class: "entry-time", text: time(at(letter)) }),
      h("b", { text: letter.node ?? "–" }),
      h("code", { text: letter.code ?? "" }),
      state),
    h("span", { class: "letter-message" }, inline(letter.message ?? "", undefined, 200)),
    h("span", { class: "letter-value" }, inline(letter.key, undefined, 40), inline(letter.value, undefined, 120)));
    const toggle = async () => {
      const isOpen = opened.has(key);
      clear(place);
      open.setAttribute("aria-expanded", String(!isOpen));
      if (isOpen) {
        opened.delete(key);
        return;
      }
      opened.add(key);
      const full = await get(path([pipeline, "dead-letters", String(letter.partition), String(letter.offset)]));
      const own = (action, title, kind) => {
        const button = h("button", { type: "button", class: kind, text: title, onclick: () => act(button, () => decide(action, [key])) });
        return button;
      };
      if (!opened.has(key)) return;
      place.replaceChildren(content(full), h("div", { class: "buttons" }, own("replay", "Replay this one", "primary"), own("discard", "Discard this one", "danger")));
    };
    const item = h("li", { class: "letter" }, h("div", { class: "letter-row" }, pick, open), place);
    item.parts = { pick, state };
    return item;
  };
  const update = (item, letter) => {
    const { pick, state } = item.parts;
    const standing = letter.state ?? "open";
    pick.checked = chosen.has(id(letter));
    pick.disabled = standing !== "open";
    setText(state, standing);
    state.className = `letter-state is-${standing}`;
  };
  const matches = (letter) => `${letter.node} ${letter.code} ${letter.message} ${letter.state} ${JSON.stringify(letter.key)} ${JSON.stringify(letter.value)}`.toLowerCase().includes(wanted);
  const draw = () => {
    const visible = letters.filter((letter) => wanted === "" || matches(letter));
    keyed(list, visible, id, element, update);
    const some = chosen.size;
    replay.disabled = discard.disabled = some === 0;
    setText(replay, some ? `Replay ${some}` : "Replay");
    setText(discard, some ? `Discard ${some}` : "Discard");
    replayAll.disabled = letters.length === 0;
    more.hidden = next === undefined || next === null;
    if (letters.length === 0 && total !== undefined) setText(about, "There are none: nothing has failed, or all has been dealt with.");
    else if (total !== undefined) setText(about, `${visible.length} shown of ${count(total)}, newest first.`);
    const now = live.pipelines.get(pipeline)?.counters?.dead_letters;
    const fresh = countedAt === undefined || now === undefined ? 0 : now - countedAt;
    setText(again, fresh > 0 ? `Refresh, ${count(fresh)} new` : "Refresh");
  };
  const load = async (isMore) => {
    trouble.replaceChildren();
    let answer;
    const counted = live.pipelines.get(pipeline)?.counters?.dead_letters;
    try {
      answer = await get(path([pipeline, "dead-letters"], { limit: LIMIT, before: isMore ? next : undefined }));
    } catch (error) {
      if (gone) return;
      setText(about, "");
      trouble.replaceChildren(error.status === 404 ? note(`No dead letters can be shown: ${error.message}.`) : problem(error));
      return;
    }
    if (gone) return;
    const got = answer.dead_letters ?? [];
    letters = isMore ? [...letters, ...got] : got;
    if (!isMore) countedAt = counted;
    next = answer.next;
    total = answer.total ?? letters.length;
    const known = new Set(letters.map(id));
    for (const key of chosen) if (!known.has(key)) chosen.delete(key);
    for (const key of opened) if (!known.has(key)) opened.delete(key);
    draw();
  };
  const decide = async (action, keys) => {
    const isAll = keys === "all";
    const what = isAll ? "all open dead letters" : plural(keys.length);
    const texts = {
      replay: ["Replay", `Each is written again to the topic that was read, as it was; others that read that topic see it twice. One that fails again becomes a new dead letter.`],
      discard: ["Discard", `${isAll ? "All open dead letters" : `These ${plural(keys.length)}`} stay in their topic, and are no longer offered for replay. This cannot be taken back.`],
    };
    const [title, text] = texts[action];
    if (!(await confirm(`${title} ${what}?`, text, title))) return;
    const body = isAll ? { all: true } : {
      letters: keys.map((key) => {
        const [partition, offset] = key.split(":").map(Number);
        return { partition, offset };
      }),
    };
    const answer = await post(path([pipeline, "dead-letters", action]), body);
    const problems = answer.problems ?? [];
    const done = answer.done ?? answer.replayed ?? answer.discarded ?? 0;
    toast(`${plural(done)} ${action === "replay" ? "replayed" : "discarded"}`);
    for (const one of problems.slice(0, 3)) toast(typeof one === "string" ? one : one.message ?? one.title ?? JSON.stringify(one), true);
    chosen.clear();
    await load(false);
  };
  act(again, () => load(false));
  return {
    draw,
    filter(text) {
      wanted = text.toLowerCase();
      draw();
    },
    destroy() {
      gone = true;
    },
  };
}
