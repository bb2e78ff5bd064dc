// Clicks through the page of a real process, which host/server/tests/page.rs starts: pipeline `words` counts words
// of a generator, pipeline `orders` refuses some of its records. Leaves a screenshot of each view.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, tab, tabTo } from "./browser.mjs";

const URL_OF = process.env.WASMILL_PAGE_URL;
assert.ok(URL_OF, "host/server/tests/page.rs runs this: cargo test --test page");
const HOSTILE = "<img src=x onerror=";

let browser;
/** Open all the while, so that its lines have a length. */
let charts;
before(async () => {
  browser = await launch();
  charts = await tab(browser);
  await charts.page.goto(`${URL_OF}/#/pipelines/words/charts`);
});
after(() => browser.close());

/** `expected`: what the console may say. */
function clicked(name, options, run, expected = []) {
  test(name, async () => {
    const each = await tab(browser, options, expected);
    try {
      await run(each.page, each);
      await each.check(name);
    } catch (error) {
      await each.shot(`failed-${name.replace(/\W+/g, "-")}`);
      throw error;
    } finally {
      await each.close();
    }
  });
}

/** Waits until an element says a rate above zero. */
const flows = (page, selector) => page.waitForFunction(
  (wanted) => [...document.querySelectorAll(wanted)].some((one) => /[1-9][\d.,k]*\/s/.test(one.textContent)), selector);

clicked("the overview shows what runs", {}, async (page, each) => {
  await page.goto(URL_OF);
  await page.getByRole("link", { name: "words" }).waitFor();
  await page.getByRole("link", { name: "orders" }).waitFor();
  await flows(page, ".card .numbers");
  await page.waitForFunction(() => document.querySelectorAll(".spark polyline")[0].getAttribute("points").split(" ").length > 4);
  await each.shot("overview");
  await page.keyboard.press("/");
  await page.keyboard.type("orders");
  await page.waitForFunction(() => document.querySelectorAll(".card").length === 1);
});

clicked("the graph, a node, its numbers", {}, async (page, each) => {
  await page.goto(URL_OF);
  await page.getByRole("link", { name: "words" }).click();
  for (const name of ["lines", "split", "count", "word-counts"]) await page.locator(`[data-node="${name}"]`).waitFor();
  await flows(page, ".edge-rate");
  // Whoever wants less motion sees none.
  await page.locator(".edge-flow.is-moving").first().waitFor({ state: "attached" });
  const moving = () => page.evaluate(() => document.getAnimations().filter((one) => one.playState === "running").length);
  assert.equal(await moving(), 0);
  await page.emulateMedia({ reducedMotion: "no-preference" });
  assert.notEqual(await moving(), 0);
  await page.emulateMedia({ reducedMotion: "reduce" });
  await each.shot("graph");
  await page.locator("[data-node=count]").click();
  await page.locator(".panel .facts").getByText(/^[0-9a-f]{64}$/).waitFor();
  await page.locator(".panel").getByText(/word_count \d/).first().waitFor();
  await page.locator(".panel").getByText(/ of 128.0 MiB/).waitFor();
  await each.shot("node");
});

clicked("a tap shows records as they go by", {}, async (page, each) => {
  await page.goto(`${URL_OF}/#/pipelines/words/graph/split`);
  await page.getByRole("tab", { name: "Tap" }).click();
  await page.getByLabel("Records a second").fill("20");
  await page.getByRole("button", { name: "Start" }).click();
  await page.waitForFunction(() => document.querySelectorAll(".entries > li").length > 8);
  await page.getByRole("button", { name: "Stop" }).click();
  await page.locator(".entries summary").nth(1).click();
  await page.locator(".entry[open] pre").first().waitFor();
  await each.shot("tap");
  // Only what is asked for.
  await page.getByRole("button", { name: "Clear" }).click();
  await page.getByLabel("Key is").fill("quick");
  await page.getByRole("button", { name: "Start" }).click();
  await page.waitForFunction(() => document.querySelectorAll(".entries > li").length > 2);
  await page.getByRole("button", { name: "Stop" }).click();
  const keys = new Set(await page.locator(".entries .entry-key").allTextContents());
  assert.deepEqual([...keys], ["quick"]);
});

clicked("state is looked up by prefix and by key", {}, async (page, each) => {
  await page.goto(`${URL_OF}/#/pipelines/words/graph/count`);
  await page.getByRole("tab", { name: "State" }).click();
  await page.locator(".entries-table tbody tr").first().waitFor();
  await page.getByLabel("Key", { exact: true }).fill("qui");
  await page.getByRole("button", { name: "Look up" }).click();
  await page.waitForFunction(() => document.querySelectorAll(".entries-table tbody tr").length === 1);
  await page.locator(".entries-table").getByText("quick", { exact: true }).waitFor();
  await each.shot("state");
  await page.getByLabel("How", { exact: true }).selectOption("key");
  await page.getByLabel("Key", { exact: true }).fill("quick");
  await page.keyboard.press("Enter");
  await page.getByText(/^1 shown/).waitFor();
  await page.waitForFunction(() => document.querySelectorAll(".entries-table tbody tr").length === 1);
  await page.getByLabel("Key", { exact: true }).fill("nothing-like-it");
  await page.getByRole("button", { name: "Look up" }).click();
  await page.getByText("No such key").waitFor();
}, ["status of 404"]);

clicked("dead letters are shown and replayed, hostile ones too", {}, async (page, each) => {
  await page.goto(`${URL_OF}/#/pipelines/orders/dead-letters`);
  await page.locator(".letter").first().waitFor();
  const bad = page.locator(".letter", { hasText: HOSTILE }).first();
  await bad.waitFor();
  await bad.locator(".letter-head").click();
  await page.locator(".letter-body pre", { hasText: HOSTILE }).first().waitFor();
  await each.shot("dead-letters");
  await page.getByRole("button", { name: "Replay this one" }).click();
  await page.getByRole("alertdialog").waitFor();
  await each.shot("dead-letters-question");
  await page.getByRole("alertdialog").getByRole("button", { name: "Replay" }).click();
  await page.getByText("1 dead letter replayed").waitFor();
  await page.locator(".letter-state.is-replayed").first().waitFor();
});

clicked("a reload leaves a receipt", {}, async (page, each) => {
  await page.goto(`${URL_OF}/#/pipelines/words`);
  await page.getByRole("button", { name: "Reload" }).click();
  await page.getByText(/Reload #\d+: unchanged/).waitFor();
  await page.getByRole("tab", { name: "Receipts" }).click();
  await page.locator(".receipt", { hasText: "unchanged" }).first().waitFor();
  await each.shot("receipts");
});

clicked("a pipeline is paused and resumed", {}, async (page, each) => {
  await page.goto(`${URL_OF}/#/pipelines/orders`);
  await page.getByRole("button", { name: "Pause" }).click();
  await page.locator(".title .badge.is-paused").waitFor();
  await each.shot("paused");
  await page.getByRole("button", { name: "Resume" }).click();
  await page.locator(".title .badge.is-running").waitFor();
});

clicked("dark and light, by the system and by hand", { colorScheme: "dark" }, async (page, each) => {
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await page.goto(`${URL_OF}/#/pipelines/words/graph/count`);
  await page.locator(".panel").waitFor();
  await flows(page, ".edge-rate");
  const dark = await background();
  await each.shot("dark");
  await each.check("dark");
  // As the system, dark, light.
  await page.keyboard.press("t");
  assert.equal(await background(), dark);
  await page.getByRole("button", { name: "Colours: dark" }).click();
  assert.notEqual(await background(), dark);
  await page.reload();
  await page.locator(".panel").waitFor();
  assert.notEqual(await background(), dark, "the choice stays");
});

clicked("readable on a phone", { width: 360, height: 740 }, async (page, each) => {
  await page.goto(URL_OF);
  await flows(page, ".card .numbers");
  await each.check("phone: overview");
  await each.shot("phone-overview");
  for (const [place, selector] of [["words", ".edge-rate"], ["words/graph/count", ".panel .facts"], ["words/charts", ".chart"],
    ["orders/dead-letters", ".letter"], ["words/receipts", "#pipeline-panel"]]) {
    await page.goto(`${URL_OF}/#/pipelines/${place}`);
    await page.locator(selector).first().waitFor();
    await each.check(`phone: ${place}`);
    await each.shot(`phone-${place.replaceAll("/", "-")}`);
  }
});

clicked("by keyboard alone, from the list to the records of a node", {}, async (page) => {
  await page.goto(URL_OF);
  await page.getByRole("link", { name: "words" }).waitFor();
  await tabTo(page, ".card-name[href$=words]");
  await page.keyboard.press("Enter");
  await page.locator("[data-node=count]").waitFor();
  await tabTo(page, "[data-node=split]");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Enter");
  await page.locator(".panel:focus").waitFor();
  await tabTo(page, "#node-tab-details");
  await page.keyboard.press("ArrowRight");
  await tabTo(page, "#tap-rate");
  await page.keyboard.press("Enter");
  await page.locator(".entries > li").first().waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await page.locator(".panel").waitFor({ state: "detached" });
});

test("charts draw the last minutes", async () => {
  const { page } = charts;
  await flows(page, ".legend b");
  await page.locator(".chart canvas").nth(2).waitFor();
  // A line is more than its first points.
  await page.waitForFunction(() => document.querySelectorAll(".plot")[0].dataset.samples > 12);
  await page.locator(".lag-table summary").click();
  await page.locator(".lag-table td").first().waitFor();
  await charts.check("charts");
  await charts.shot("charts");
});
