// What reloads did.

import { get } from "./api.js";
import { h, keyed, setText } from "./dom.js";
import { count, millis, time } from "./format.js";
import { badge } from "./icons.js";
import { note, problem } from "./parts.js";

const SHAPES = { applied: "running", restarted: "running", added: "running", unchanged: "idle", waiting: "degraded", refused: "failed", removed: "stopped", rolled_back: "degraded" };
const CAUSES = { watch: "a file changed", signal: "SIGHUP", api: "asked for", rollback: "the new version has failed too often" };

function element(receipt) {
  const shape = SHAPES[receipt.outcome] ?? "degraded";
  const outcome = badge(shape, receipt.outcome.replaceAll("_", " "));
  const item = h("li", { class: `receipt is-${shape}` },
    h("div", { class: "receipt-head" }, outcome,
      h("span", { class: "receipt-id", text: `#${receipt.id}` }),
      h("time", { datetime: receipt.at, title: receipt.at, text: time(receipt.at) }),
      h("span", { class: "hint", text: `${CAUSES[receipt.cause] ?? receipt.cause}, took ${millis(receipt.took_ms)}, records stood still ${millis(receipt.pause_ms)}` })));
  if (receipt.changes?.length) {
    item.append(h("ul", { class: "changes", "aria-label": "Changes" }, ...receipt.changes.map((one) => h("li", {},
      h("span", { class: "faint", text: `${one.part} ` }), h("b", { text: one.name }), h("span", { text: `: ${one.what}` })))));
  }
  if (receipt.problems?.length) {
    item.append(h("ul", { class: "changes", "aria-label": "Problems" }, ...receipt.problems.map((one) => h("li", { class: "problem" },
      h("code", { text: one.code }), h("span", { text: ` ${one.message}` }),
      one.place ? h("span", { class: "place", text: ` ${one.place}` }) : null))));
  }
  return item;
}

export function receipts(root, pipeline) {
  let all = [];
  let wanted = "";
  let gone = false;
  let asking = false;
  const about = h("p", { class: "hint", text: "Asking…" });
  const trouble = h("div");
  const list = h("ol", { class: "receipts", "aria-label": "Receipts, newest first" });
  root.append(about, trouble, list);
  const show = () => {
    const text = (one) => `${one.outcome} ${one.cause} ${JSON.stringify(one.changes)} ${JSON.stringify(one.problems)}`.toLowerCase();
    const visible = all.filter((one) => wanted === "" || text(one).includes(wanted));
    keyed(list, visible, (one) => one.id, element);
    setText(about, all.length === 0 ? "No reload since the process was started." : `${count(all.length)} reloads, newest first. One that is refused changes nothing.`);
  };
  const draw = async () => {
    if (asking || gone) return;
    asking = true;
    try {
      const answer = await get(`/v1/receipts?pipeline=${encodeURIComponent(pipeline)}`);
      all = [...(answer.receipts ?? [])].reverse();
      trouble.replaceChildren();
      if (!gone) show();
    } catch (error) {
      setText(about, "");
      trouble.replaceChildren(error.status === 404 ? note("This process shows no receipts.") : problem(error));
    } finally {
      asking = false;
    }
  };
  draw();
  return {
    draw,
    filter(text) {
      wanted = text.toLowerCase();
      show();
    },
    destroy() {
      gone = true;
    },
  };
}
