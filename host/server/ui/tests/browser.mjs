// Chromium, and what holds of every page: no error in the console, nothing that the policy had to forbid, no
// sideways scrolling, names and visible focus for all that can be pressed, text that can be read.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const SHOTS = process.env.WASMILL_PAGE_SHOTS;
/** In all secrets that the process has: host/server/tests/common/secrets.rs. */
const SECRET = process.env.WASMILL_PAGE_SECRET;

export async function launch() {
  return chromium.launch({
    executablePath: process.env.WASMILL_CHROMIUM ?? "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"],
  });
}

/** A tab; `troubles` is what the console said that it should not have, but for what `expected` names. */
export async function tab(browser, { width = 1280, height = 860, colorScheme = "light", reducedMotion = "reduce" } = {}, expected = []) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, reducedMotion });
  const page = await context.newPage();
  const troubles = [];
  const note = (text) => {
    if (!expected.some((one) => text.includes(one))) troubles.push(text);
  };
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) note(message.text());
  });
  // What it is answered has no planted secret in it. Events have no end: their text is not waited for.
  page.on("response", async (response) => {
    if ((response.headers()["content-type"] ?? "").startsWith("text/event-stream")) return;
    const text = await response.text().catch(() => "");
    if (SECRET && text.includes(SECRET)) troubles.push(`${response.url()} shows a planted secret`);
  });
  page.on("pageerror", (error) => note(error.stack ?? error.message));
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  // Nothing but the process is asked: the page works where there is no other network.
  page.on("request", (request) => {
    if (new URL(request.url()).hostname !== "127.0.0.1") troubles.push(`asked ${request.url()}`);
  });
  return {
    page,
    async shot(name) {
      if (!SHOTS) return;
      mkdirSync(SHOTS, { recursive: true });
      await page.screenshot({ path: join(SHOTS, `${name}.png`), animations: "disabled" });
    },
    async check(name) {
      assert.deepEqual(troubles, [], name);
      assert.equal(await page.evaluate(() => globalThis.hacked), undefined, `${name}: a record ran as a script`);
      const [content, view] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(content <= view, `${name}: the page is ${content} px wide in a window of ${view}`);
      assert.deepEqual(await nameless(page), [], `${name}: what a screen reader cannot name`);
      assert.deepEqual(await page.evaluate(faint), [], `${name}: text that is hard to read`);
    },
    close: () => context.close(),
  };
}

const PRESSED = new Set(["button", "link", "tab", "textbox", "searchbox", "spinbutton", "combobox", "checkbox"]);

/** What can be pressed or filled in and has no name in the accessibility tree. */
async function nameless(page) {
  const session = await page.context().newCDPSession(page);
  const { nodes } = await session.send("Accessibility.getFullAXTree");
  await session.detach();
  return nodes
    .filter((node) => !node.ignored && PRESSED.has(node.role?.value) && !node.name?.value)
    .map((node) => `${node.role.value} ${node.backendDOMNodeId}`);
}

/** Texts whose contrast with what is behind them is below 4.5 : 1 (WCAG AA). Runs in the page. */
function faint() {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const parts = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((n) => (n / 255 <= 0.04045 ? n / 255 / 12.92 : ((n / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = parts(getComputedStyle(each).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    const isSeen = walk.currentNode.data.trim() && element.checkVisibility({ visibilityProperty: true }) && !element.closest(":disabled, svg, .hidden, .skip, option, noscript");
    if (!isSeen) continue;
    const [a, b] = [light(parts(getComputedStyle(element).color)), light(behind(element))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) found.push(`${contrast.toFixed(2)}: ${walk.currentNode.data.slice(0, 40)}`);
  }
  return found;
}

/** Presses Tab until the focus is on something that matches, and checks that each stop can be seen. */
export async function tabTo(page, selector, most = 60) {
  for (let i = 0; i < most; i += 1) {
    await page.keyboard.press("Tab");
    const seen = await page.evaluate((wanted) => {
      const element = document.activeElement;
      const style = getComputedStyle(element);
      const after = getComputedStyle(element, "::after");
      const outlined = (one) => one.outlineStyle !== "none" && parseFloat(one.outlineWidth) > 0;
      const box = element.querySelector?.(".node-box");
      const isSeen = outlined(style) || outlined(after) || (box && parseFloat(getComputedStyle(box).strokeWidth) > 3);
      return { isThere: element.matches(wanted), isSeen: isSeen || element === document.body, what: element.outerHTML.slice(0, 120) };
    }, selector);
    assert.ok(seen.isSeen, `the focus cannot be seen: ${seen.what}`);
    if (seen.isThere) return;
  }
  assert.fail(`Tab does not come to ${selector}`);
}
