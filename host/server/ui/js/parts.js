// Parts that several views use: tabs, dialogs, notices, keys and values of records.

import { h } from "./dom.js";
import { bytes, clip, pretty, shown } from "./format.js";

/** So much of a value is shown before somebody asks for all of it. */
const VALUE_CHARS = 4_096;
/** And so much then: a browser does not survive everything. */
const VALUE_CHARS_MAX = 1_000_000;

/**
 * Tabs after the ARIA pattern: arrows move, one is in the order of Tab. `tabs`: `[id, title]`.
 * Answers with the list, and with `select(id)`, `setTitle` and `hide`.
 */
export function tabs(label, prefix, entries, chosen) {
  const buttons = new Map();
  const list = h("div", { class: "tabs", role: "tablist", "aria-label": label });
  const visible = () => [...buttons.values()].filter((button) => !button.hidden);
  for (const [id, title] of entries) {
    const button = h("button", {
      type: "button",
      role: "tab",
      id: `${prefix}-tab-${id}`,
      "aria-controls": `${prefix}-panel`,
      "aria-selected": "false",
      tabindex: "-1",
      onclick: () => chosen(id),
      onkeydown: (event) => {
        const all = visible();
        const place = all.indexOf(button);
        const to = { ArrowRight: place + 1, ArrowLeft: place - 1 + all.length, Home: 0, End: all.length - 1 }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        all[to % all.length].focus();
        all[to % all.length].click();
      },
    }, h("span", { text: title }), h("span", { class: "count", hidden: true }));
    buttons.set(id, button);
    list.append(button);
  }
  return {
    list,
    select(id) {
      for (const [each, button] of buttons) {
        button.setAttribute("aria-selected", String(each === id));
        button.tabIndex = each === id ? 0 : -1;
      }
    },
    setCount(id, text) {
      const place = buttons.get(id).lastChild;
      place.hidden = text === "";
      if (place.textContent !== text) place.textContent = text;
    },
    hide(id, isHidden) {
      buttons.get(id).hidden = isHidden;
    },
    panel: () => h("div", { class: "tab-panel", role: "tabpanel", id: `${prefix}-panel` }),
    label(panel, id) {
      panel.setAttribute("aria-labelledby", `${prefix}-tab-${id}`);
    },
  };
}

function open(dialog) {
  const before = document.activeElement;
  document.body.append(dialog);
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (before instanceof HTMLElement || before instanceof SVGElement) before.focus?.();
  });
  dialog.showModal();
  return dialog;
}

/** Shows something on top of the page; closes by its button or Escape. */
export function show(title, ...content) {
  const dialog = h("dialog", { "aria-label": title });
  const close = h("button", { type: "button", text: "Close", onclick: () => dialog.close() });
  dialog.append(h("h2", { text: title }), ...content, h("div", { class: "buttons" }, close));
  return open(dialog);
}

/** Asks before something that cannot be taken back. Answers with true or false. */
export function confirm(title, text, action) {
  return new Promise((answer) => {
    const dialog = h("dialog", { role: "alertdialog", "aria-label": title });
    let isYes = false;
    const yes = h("button", {
      type: "button",
      class: "danger",
      text: action,
      onclick: () => {
        isYes = true;
        dialog.close();
      },
    });
    const no = h("button", { type: "button", text: "Cancel", autofocus: true, onclick: () => dialog.close() });
    dialog.append(h("h2", { text: title }), h("p", { text }), h("div", { class: "buttons" }, no, yes));
    dialog.addEventListener("close", () => answer(isYes));
    open(dialog);
  });
}

/** Asks for the token of the API. Answers with it, or undefined. */
export function askToken(why) {
  return new Promise((answer) => {
    const dialog = h("dialog", { "aria-label": "Token" });
    const field = h("input", { type: "password", id: "token-field", autocomplete: "off", autofocus: true, spellcheck: "false" });
    let given;
    const take = () => {
      given = field.value.trim();
      dialog.close();
    };
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") take();
    });
    dialog.append(
      h("h2", { text: "Token" }),
      h("p", { text: why }),
      h("label", { for: "token-field", class: "hint", text: "Token of --tokens, kept until this tab is closed" }),
      field,
      h("div", { class: "buttons" },
        h("button", { type: "button", text: "Cancel", onclick: () => dialog.close() }),
        h("button", { type: "button", class: "primary", text: "Use it", onclick: take })),
    );
    dialog.addEventListener("close", () => answer(given));
    open(dialog);
  });
}

/** Says for some seconds what came of an action. */
export function toast(text, isBad = false) {
  const note = h("div", { class: isBad ? "toast is-bad" : "toast" },
    h("span", { text: clip(text, 400) }),
    h("button", { type: "button", class: "quiet", "aria-label": "Dismiss", text: "×", onclick: () => note.remove() }));
  const all = document.getElementById("toasts");
  while (all.childElementCount > 3) all.firstChild.remove();
  all.append(note);
  setTimeout(() => note.remove(), isBad ? 15_000 : 6_000);
}

/** Does something for a button: it is off meanwhile, and what goes wrong is said. */
export async function act(button, action) {
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  try {
    await action();
  } catch (error) {
    toast(`${sentence(error.message)}${error.detail ? ` ${sentence(error.detail)}` : ""}`, true);
  } finally {
    button.removeAttribute("aria-busy");
  }
}

/** A line that says why there is nothing to see. */
export function note(text, kind = "empty") {
  return h("p", { class: kind, text });
}

/** A field under its label. */
export function field(label, input) {
  return h("div", { class: "field" }, h("label", { for: input.id, text: label }), input);
}

/** What the API says, as a sentence. */
export function sentence(text) {
  const line = clip(text, 400);
  return `${line.charAt(0).toUpperCase()}${line.slice(1)}${/[.!?…]$/.test(line) ? "" : "."}`;
}

/** What went wrong, where a view could not be filled. */
export function problem(error) {
  return h("div", { class: "problem", role: "alert" },
    h("strong", { text: sentence(error.message) }), error.detail ? h("span", { text: ` ${sentence(error.detail)}` }) : null);
}

/** A key or value on one line. */
export function inline(value, encoding, length) {
  const { text, kind } = shown(value, encoding);
  return h("span", { class: `data is-${kind}`, text: kind === "text" && text === "" ? "(empty)" : clip(text, length) });
}

/** A whole key or value: JSON with indents, bytes as base64, the end of large ones only when asked for. */
export function whole(value, encoding) {
  const { text, kind } = shown(value, encoding);
  const size = kind === "base64" ? Math.floor((text.replace(/=+$/, "").length * 3) / 4) : new TextEncoder().encode(text).length;
  const box = h("div", { class: "value" });
  const about = { null: "null", base64: `${bytes(size)}, shown as base64`, text: bytes(size) }[kind];
  const laid = kind === "text" && text.length <= VALUE_CHARS_MAX ? pretty(text) : text;
  const pre = h("pre", { class: `data is-${kind}`, tabindex: "0", text: laid.slice(0, VALUE_CHARS) });
  box.append(h("span", { class: "hint", text: about }), pre);
  if (laid.length > VALUE_CHARS) {
    const isTooLarge = laid.length > VALUE_CHARS_MAX;
    box.append(h("button", {
      type: "button",
      text: isTooLarge ? "Show the first million characters" : "Show all of it",
      onclick: (event) => {
        pre.textContent = laid.slice(0, VALUE_CHARS_MAX);
        event.currentTarget.remove();
      },
    }));
  }
  return box;
}

/** Terms and what they are. `pairs`: `[term, text or element]`. */
export function facts(pairs) {
  const list = h("dl", { class: "facts" });
  for (const [term, value] of pairs) {
    list.append(h("div", {}, h("dt", { text: term }), h("dd", {}, value instanceof Node ? value : String(value))));
  }
  return list;
}
