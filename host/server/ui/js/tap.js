// Records of a node as they go by.

import { events, path } from "./api.js";
import { clear, h, setText } from "./dom.js";
import { count, time } from "./format.js";
import { field, inline, problem, whole } from "./parts.js";

const RECORDS_MAX = 200;
/** Records of a stream that is quicker than the screen wait here; of more the oldest are dropped. */
const WAITING_MAX = 200;

function place(record) {
  const parts = [record.topic, record.partition, record.offset].filter((part) => part !== undefined && part !== null);
  return parts.join(":");
}

function entry(record) {
  const body = h("div", { class: "entry-body" });
  const details = h("details", { class: "entry" },
    h("summary", {},
      h("span", { class: "entry-time", text: time(record.timestamp) }),
      h("span", { class: "entry-key" }, inline(record.key, record.key_encoding ?? record.encoding, 40)),
      h("span", { class: "entry-value" }, inline(record.value, record.value_encoding ?? record.encoding, 160))),
    body);
  details.addEventListener("toggle", () => {
    clear(body);
    if (!details.open) return;
    const about = [place(record), record.port ? `port ${record.port}` : "", record.is_cut ? "too large to be shown whole" : ""];
    body.append(
      h("p", { class: "hint", text: about.filter(Boolean).join(" · ") }),
      h("h3", { text: "Key" }), whole(record.key, record.key_encoding ?? record.encoding),
      h("h3", { text: "Value" }), whole(record.value, record.value_encoding ?? record.encoding));
    if (record.headers?.length) body.append(h("h3", { text: "Headers" }), headerList(record.headers));
  });
  return h("li", {}, details);
}

/** Headers as a list; their values may be bytes. */
export function headerList(headers) {
  const list = h("dl", { class: "facts" });
  for (const [name, value] of headers) {
    list.append(h("div", {}, h("dt", {}, inline(name, undefined, 60)), h("dd", {}, inline(value, undefined, 200))));
  }
  return list;
}

export function tap(root, pipeline, node) {
  let stream;
  let seen = 0;
  let dropped = 0;
  let waiting = [];
  let frame;
  const input = (id, props) => h("input", { id, autocomplete: "off", spellcheck: "false", ...props });
  const rate = input("tap-rate", { type: "number", min: 1, max: 1000, value: 10 });
  const key = input("tap-key", { type: "text" });
  const contains = input("tap-contains", { type: "text" });
  const status = h("p", { class: "hint", role: "status", text: "Records are shown while it is on; nothing is held up by it." });
  const trouble = h("div");
  const list = h("ol", { class: "entries", "aria-label": `Records of ${node}` });
  const button = h("button", { type: "button", class: "primary", text: "Start" });
  const tidy = h("button", { type: "button", text: "Clear", onclick: () => clear(list) });
  const fields = h("div", { class: "fields" }, field("Records a second", rate), field("Key is", key), field("Value contains", contains),
    h("div", { class: "buttons" }, button, tidy));

  const tell = () => setText(status, `${stream ? "On" : "Off"}: ${count(seen)} seen${dropped ? `, ${count(dropped)} left out by the rate` : ""}; the last ${RECORDS_MAX} are kept.`);
  const draw = () => {
    frame = undefined;
    for (const record of waiting) list.prepend(entry(record));
    waiting = [];
    while (list.childElementCount > RECORDS_MAX) list.lastChild.remove();
    tell();
  };
  const later = () => {
    frame ??= requestAnimationFrame(draw);
  };
  const stop = () => {
    stream?.abort();
    stream = undefined;
    button.textContent = "Start";
    button.setAttribute("aria-pressed", "false");
    for (const each of [rate, key, contains]) each.disabled = false;
  };
  const start = async () => {
    const own = new AbortController();
    stream = own;
    seen = 0;
    dropped = 0;
    trouble.replaceChildren();
    button.textContent = "Stop";
    button.setAttribute("aria-pressed", "true");
    for (const each of [rate, key, contains]) each.disabled = true;
    setText(status, "Connecting…");
    const url = path([pipeline, "tap", node], { rate: rate.value, key: key.value, contains: contains.value });
    try {
      await events(url, own.signal, tell, (event, data) => {
        if (event === "record") {
          seen += 1;
          waiting.push(data);
          if (waiting.length > WAITING_MAX) waiting.shift();
        } else if (event === "dropped") dropped += data.count ?? 0;
        later();
      });
    } catch (error) {
      if (error.status === 404) fields.hidden = true;
      trouble.replaceChildren(problem(error));
    }
    if (stream === own) {
      stop();
      tell();
    }
  };
  button.addEventListener("click", () => {
    if (stream) {
      stop();
      tell();
    } else start();
  });
  for (const each of [rate, key, contains]) {
    each.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !stream) start();
    });
  }
  root.append(fields, status, trouble, list);
  return {
    destroy() {
      stop();
      if (frame !== undefined) cancelAnimationFrame(frame);
    },
  };
}
