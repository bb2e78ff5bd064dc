// What a transform has stored, by key or page by page.

import { get, path } from "./api.js";
import { clear, h, setText } from "./dom.js";
import { json, shown, toBase64 } from "./format.js";
import { act, field, inline, note, problem, whole } from "./parts.js";

const LIMIT = 50;

export function state(root, pipeline, transform) {
  let stores = [];
  let gone = false;
  let next;
  const store = h("select", { id: "state-store" });
  const partition = h("select", { id: "state-partition" });
  const how = h("select", { id: "state-how" },
    h("option", { value: "prefix", text: "Key begins with" }), h("option", { value: "key", text: "Key is" }),
    h("option", { value: "key64", text: "Key is, in base64" }));
  const text = h("input", { id: "state-text", type: "text", autocomplete: "off", spellcheck: "false" });
  const look = h("button", { type: "button", class: "primary", text: "Look up" });
  const about = h("p", { class: "hint", role: "status", text: "Asking…" });
  const rows = h("tbody");
  const table = h("table", { class: "entries-table", hidden: true },
    h("thead", {}, h("tr", {}, ...["Key", "Value", "Partition"].map((title) => h("th", { scope: "col", text: title })))), rows);
  const more = h("button", { type: "button", text: "More", hidden: true });
  const result = h("div");
  const fields = h("div", { class: "fields", hidden: true },
    field("Store", store),
    field("Partition", partition),
    field("How", how),
    field("Key", text),
    h("div", { class: "buttons" }, look));
  root.append(fields, about, result, table, more);

  const row = (entry) => {
    const value = shown(entry.value, entry.value_encoding ?? entry.encoding);
    const open = h("button", {
      type: "button",
      class: "cell",
      "aria-expanded": "false",
      onclick: () => {
        const isOpen = open.getAttribute("aria-expanded") === "true";
        open.setAttribute("aria-expanded", String(!isOpen));
        if (isOpen) line.nextSibling.remove();
        else line.after(h("tr", { class: "open-row" }, h("td", { colspan: "3" }, whole(value.kind === "text" ? value.text : entry.value, entry.value_encoding ?? entry.encoding))));
      },
    }, inline(entry.key, entry.key_encoding ?? entry.encoding, 60));
    const line = h("tr", {}, h("td", { class: "line" }, open),
      h("td", { class: "line" }, inline(entry.value, entry.value_encoding ?? entry.encoding, 120)),
      h("td", { class: "number", text: entry.partition ?? "–" }));
    return line;
  };
  const chosen = () => stores.find((one) => one.name === store.value);
  /** Numbers have no beginning that would say anything. */
  const isNumber = () => Boolean(chosen()?.key_format?.endsWith("-le"));
  const describe = () => {
    how.disabled = isNumber();
    how.value = isNumber() ? "key" : "prefix";
  };
  const ask = async (isMore) => {
    result.replaceChildren();
    const given = text.value;
    const isExact = how.value.startsWith("key") && given !== "";
    // Whatever the format, a key is its bytes: as base64 each can be given.
    const encoding = isNumber() ? undefined : "base64";
    const key = encoding && how.value !== "key64" ? toBase64(given) : given;
    const params = isExact
      ? { key, encoding, partition: partition.value }
      : { prefix: how.value === "prefix" ? key : "", after: isMore ? next : undefined, encoding, limit: LIMIT, partition: partition.value };
    if (!isMore) clear(rows);
    more.hidden = true;
    let answer;
    try {
      answer = await get(path([pipeline, "state", transform, store.value], params));
    } catch (error) {
      table.hidden = rows.childElementCount === 0;
      if (error.status === 404 && isExact) result.replaceChildren(note("No such key in the partitions of this process."));
      else result.replaceChildren(problem(error));
      return;
    }
    if (gone) return;
    const entries = answer.entries ?? [answer];
    for (const entry of entries) rows.append(row(entry));
    table.hidden = rows.childElementCount === 0;
    if (table.hidden) result.replaceChildren(note("Nothing is stored there."));
    more.hidden = !answer.more;
    next = answer.after;
    const one = chosen();
    setText(about, `${rows.querySelectorAll("tr:not(.open-row)").length} shown${answer.more ? ", there are more" : ""}. `
      + `Keys ${one?.key_format ?? "–"}, values ${one?.value_format ?? "–"}. ${one?.doc ?? ""}`);
  };
  look.addEventListener("click", () => act(look, () => ask(false)));
  more.addEventListener("click", () => act(more, () => ask(true)));
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter") act(look, () => ask(false));
  });
  store.addEventListener("change", () => {
    describe();
    act(look, () => ask(false));
  });
  partition.addEventListener("change", () => act(look, () => ask(false)));

  (async () => {
    let answer;
    try {
      answer = await get(path([pipeline, "state", transform]));
    } catch (error) {
      about.remove();
      result.replaceChildren(error.status === 404 ? note(`This process does not show state: ${error.message}.`) : problem(error));
      return;
    }
    if (gone) return;
    stores = answer.stores ?? [];
    if (stores.length === 0) {
      setText(about, "It has no store.");
      return;
    }
    store.append(...stores.map((one) => h("option", { value: one.name, text: one.name })));
    partition.append(h("option", { value: "", text: "all" }),
      ...(answer.partitions ?? []).map((one) => h("option", { value: json(one), text: json(one) })));
    fields.hidden = false;
    if (answer.restoring?.length) result.append(note(`Partitions ${answer.restoring.join(", ")} are being brought back.`));
    describe();
    await act(look, () => ask(false));
  })();
  return {
    destroy() {
      gone = true;
    },
  };
}
