// Puts the views together: which is shown, the filter, the theme, the token, the keys.

import { token } from "./api.js";
import { clear, h, setText } from "./dom.js";
import { icon } from "./icons.js";
import { live, refresh, start } from "./live.js";
import { overview } from "./overview.js";
import { askToken, sentence, show, toast } from "./parts.js";
import { pipeline, TABS } from "./pipeline.js";

const element = (id) => document.getElementById(id);
const main = element("main");
const filter = element("filter");
const banner = element("banner");
let view;
let viewName;

function place() {
  let parts;
  try {
    parts = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  } catch {
    parts = [""];
  }
  const [what, name, tab, node] = parts;
  return what === "pipelines" && name ? { name, tab: tab ?? "graph", node } : {};
}

function route() {
  const { name, tab, node } = place();
  // What was said belongs to what was looked at.
  clear(element("toasts"));
  if (view && viewName === name) {
    view.open?.(tab, node);
    return;
  }
  const isFirst = !view;
  view?.destroy();
  clear(main);
  filter.value = "";
  viewName = name;
  view = name === undefined ? overview(main) : pipeline(main, name, tab, node);
  setText(element("crumb"), view.crumb);
  document.title = name === undefined ? "Wasmill" : `${view.title} · Wasmill`;
  if (!isFirst) main.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

function drawBanner() {
  const { error } = live;
  banner.hidden = !error;
  if (!error) {
    clear(banner);
    return;
  }
  if (!banner.firstChild) {
    banner.append(icon("failed"), h("span", { class: "banner-text" }), h("span", { class: "banner-wait", "aria-live": "off" }),
      h("button", { type: "button", text: "Try now", onclick: refresh }));
  }
  const needsToken = error.status === 401;
  setText(banner.querySelector(".banner-text"), `${sentence(error.message)} ${needsToken ? "" : "What is shown is what was last known."}`);
  setText(banner.querySelector(".banner-wait"), `Next try in ${Math.max(Math.ceil((live.retryAt - Date.now()) / 1000), 0)} s.`);
}

let asksForToken = false;
let hasAsked = false;
async function newToken(why) {
  if (asksForToken) return;
  asksForToken = true;
  const given = await askToken(why);
  asksForToken = false;
  if (given === undefined) return;
  token.set(given);
  hasAsked = false;
  drawButtons();
  refresh();
}

function update() {
  drawBanner();
  view.update();
  const isRefused = live.error?.status === 401;
  // Once; whoever says no has the button.
  if (isRefused && !hasAsked) {
    hasAsked = true;
    newToken(token.get() ? "This process does not know the token that was given." : "This process wants a token.");
  }
}

const THEMES = ["system", "dark", "light"];
function theme() {
  return document.documentElement.dataset.theme ?? "system";
}

function nextTheme() {
  const wanted = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length];
  if (wanted === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = wanted;
  try {
    if (wanted === "system") localStorage.removeItem("wasmill-theme");
    else localStorage.setItem("wasmill-theme", wanted);
  } catch {
    // Then it is for this page only.
  }
  drawButtons();
  toast(`Colours: ${wanted === "system" ? "as the system" : wanted}`);
  document.dispatchEvent(new Event("themechange"));
}

function drawButtons() {
  const colours = element("theme");
  colours.replaceChildren(icon(theme()));
  colours.setAttribute("aria-label", `Colours: ${theme()}`);
  colours.title = `Colours: ${theme()} (t)`;
  const key = element("token");
  key.replaceChildren(icon("token"));
  key.classList.toggle("is-set", token.get() !== "");
}

const KEYS = [
  ["/", "Filter what is shown"],
  ["1 – 4", "Graph, charts, dead letters, receipts"],
  ["o", "All pipelines"],
  ["t", "Colours: as the system, dark, light"],
  ["Tab", "From one thing to the next"],
  ["Arrows", "In the graph, and between tabs"],
  ["Enter", "Opens a node, a record, a pipeline"],
  ["Esc", "Empties the filter; closes the panel or a dialog"],
  ["?", "These keys"],
];

function help() {
  const list = h("dl", { class: "keys" });
  for (const [key, what] of KEYS) list.append(h("div", {}, h("dt", {}, h("kbd", { text: key })), h("dd", { text: what })));
  show("Keys", list);
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const isField = event.target.closest?.("input, select, textarea");
  if (event.key === "Escape") {
    if (event.target === filter && filter.value) {
      filter.value = "";
      view.filter("");
    } else if (isField) event.target.blur();
    else view.back?.();
    return;
  }
  if (isField) return;
  const tab = TABS[Number(event.key) - 1];
  const actions = { "/": () => filter.focus(), "?": help, t: nextTheme, o: () => (location.hash = "#/") };
  if (tab && viewName) location.hash = `#/pipelines/${encodeURIComponent(viewName)}/${tab[0]}`;
  else if (actions[event.key]) actions[event.key]();
  else return;
  event.preventDefault();
}

window.addEventListener("hashchange", route);
// The part behind the # is the place, so the link only moves the focus.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
document.addEventListener("keydown", keys);
// The canvas of a chart follows the system as well.
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("themechange")));
filter.addEventListener("input", () => view.filter(filter.value.trim()));
element("theme").addEventListener("click", nextTheme);
element("help").addEventListener("click", help);
element("token").addEventListener("click", () => newToken("It goes with every request of this page. An empty one is none."));
setInterval(() => live.error && drawBanner(), 1_000);
live.listeners.add(update);
drawButtons();
route();
start();
