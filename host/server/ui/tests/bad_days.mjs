// The page with invented answers: records that attack it, an API with little, one that goes away, one that wants
// a token. What a real process does is in page.mjs.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, tab, tabTo } from "./browser.mjs";
import { HOSTILE, serve } from "./mock.mjs";

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

/** Runs with a server of its own. */
function withMock(name, options, expected, run) {
  test(name, async () => {
    const mock = await serve();
    const each = await tab(browser, options, expected);
    try {
      await run(each.page, mock, each);
      await each.check(name);
    } finally {
      await each.close();
      mock.close();
    }
  });
}

withMock("what records, plugins and files say is text and nothing else", {}, [], async (page, mock, each) => {
  await page.goto(mock.url);
  await page.getByText(HOSTILE).first().waitFor();
  await each.check("overview");
  await page.goto(`${mock.url}/#/pipelines/bad-day`);
  await page.locator(".failures").getByText(HOSTILE).first().waitFor();
  await page.locator(".node").click();
  await page.getByRole("heading", { name: HOSTILE }).waitFor();
  await each.check("node");
  await page.goto(`${mock.url}/#/pipelines/orders/graph/parse`);
  await page.locator("#node-tab-tap").click();
  await page.getByLabel("Records a second").fill("200");
  await page.getByRole("button", { name: "Start" }).click();
  const records = page.locator(".entries > li");
  await page.waitForFunction(() => document.querySelectorAll(".entries > li").length === 200);
  await page.getByRole("button", { name: "Stop" }).click();
  assert.equal(await records.count(), 200);
  await page.locator(".entries summary", { hasText: "zzzz" }).first().click();
  await page.locator(".entry[open] pre").filter({ hasText: "zzzz" }).first().waitFor();
  const shown = (await page.locator(".entry[open] pre").filter({ hasText: "zzzz" }).first().textContent()).length;
  assert.equal(shown, 4_096, "a value of 200,000 characters is cut");
  await page.getByRole("button", { name: "Show all of it" }).click();
  await page.waitForFunction(() => [...document.querySelectorAll(".entry pre")].some((pre) => pre.textContent.length === 200_000));
  await each.check("tap");
});

withMock("state: keys of all kinds, pages, and whole numbers of 64 bits", {}, [], async (page, mock) => {
  await page.goto(`${mock.url}/#/pipelines/orders/graph/enrich`);
  await page.getByText("3 of 1,200 records differ, 0 calls failed").waitFor();
  await page.locator("#node-tab-state").click();
  await page.getByText("18446744073709551615").waitFor();
  await page.locator(".entries-table button", { hasText: "<img src=x onerror" }).waitFor();
  assert.equal(await page.locator(".entries-table tbody tr").count(), 50);
  await page.getByRole("button", { name: "More" }).click();
  await page.waitForFunction(() => document.querySelectorAll(".entries-table tbody tr").length === 100);
  await page.getByLabel("Key", { exact: true }).fill("customer-11");
  await page.keyboard.press("Enter");
  // customer-11 and customer-110 to customer-119.
  await page.waitForFunction(() => document.querySelectorAll(".entries-table tbody tr").length === 11);
});

withMock("dead letters: shown, replayed and discarded after a question", {}, [], async (page, mock) => {
  await page.goto(`${mock.url}/#/pipelines/orders/dead-letters`);
  await page.locator(".letter-head").first().click();
  const value = page.locator(".letter-body pre").filter({ hasText: "order" });
  await value.waitFor();
  assert.match(await value.textContent(), /"order": 12345678901234567890,\n/, "numbers are not rounded");
  await page.getByRole("button", { name: "Replay this one" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Cancel" }).click();
  assert.equal(mock.world.letters[0].state, "open");
  await page.getByRole("button", { name: "Replay this one" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Replay" }).click();
  await page.getByText("1 dead letter replayed").waitFor();
  await page.locator(".letter-state.is-replayed").waitFor();
  await page.getByLabel("Choose 0:2").check();
  await page.getByLabel("Choose 0:1").check();
  await page.getByRole("button", { name: "Discard 2" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Discard" }).click();
  await page.getByText("2 dead letters discarded").waitFor();
  assert.deepEqual(mock.world.letters.map((one) => one.state), ["replayed", "discarded", "discarded", "open"]);
});

withMock("an API that tells little: dashes and notes, no errors", {}, [], async (page, mock, each) => {
  mock.world.isOld = true;
  await page.goto(`${mock.url}/#/pipelines/old`);
  await page.getByText("This process does not show dead letters and receipts.").waitFor();
  assert.equal(await page.locator("#pipeline-tab-dead-letters").isVisible(), false);
  assert.equal(await page.getByRole("button", { name: "Pause" }).isVisible(), false);
  assert.equal(await page.locator(".strip dd").first().textContent(), "–");
  await page.getByText("does not tell how its parts are connected").waitFor();
  await page.locator("[data-node=pass]").click();
  await page.getByText("This process does not show records and state.").waitFor();
  await page.locator("#pipeline-tab-charts").click();
  await page.locator(".chart").first().waitFor();
  await each.shot("an-older-api");
});

const AWAY = ["ERR_EMPTY_RESPONSE", "ERR_CONNECTION", "Failed to load resource"];
withMock("a process that goes away: a banner, what was last known, and on again", {}, AWAY, async (page, mock, each) => {
  await page.goto(`${mock.url}/#/pipelines/orders`);
  await page.locator("[data-node=parse]").waitFor();
  mock.world.isAway = true;
  await page.getByRole("alert").getByText("The process does not answer.").waitFor();
  await page.getByText(/Next try in \d+ s/).waitFor();
  assert.equal(await page.locator("[data-node=parse]").isVisible(), true);
  await each.shot("api-away");
  mock.world.isAway = false;
  await page.getByRole("button", { name: "Try now" }).click();
  await page.locator("#banner").waitFor({ state: "hidden" });
});

withMock("a token is asked for, and kept for the tab only", {}, ["401"], async (page, mock, each) => {
  mock.world.token = "0123456789abcdef";
  await page.goto(mock.url);
  await page.getByLabel("Token of --tokens").fill("wrong");
  await page.keyboard.press("Enter");
  await page.getByText("does not know the token").waitFor();
  await each.shot("token");
  await page.getByLabel("Token of --tokens").fill(mock.world.token);
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "orders" }).waitFor();
  const kept = await page.evaluate(() => [Object.values({ ...sessionStorage }), Object.values({ ...localStorage }), document.cookie]);
  assert.deepEqual(kept, [[mock.world.token], [], ""]);
});

withMock("all of it by keyboard alone, the focus always in sight", {}, [], async (page, mock) => {
  await page.goto(mock.url);
  await page.getByRole("link", { name: "orders" }).waitFor();
  await tabTo(page, ".card-name[href$=orders]");
  await page.keyboard.press("Enter");
  await page.locator("[data-node=parse]").waitFor();
  await tabTo(page, "[data-node=incoming]");
  await page.keyboard.press("ArrowRight");
  assert.equal(await page.evaluate(() => document.activeElement.dataset.node), "parse");
  await page.keyboard.press("Enter");
  await page.locator(".panel:focus").waitFor();
  await tabTo(page, "#node-tab-details");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.locator(".entries > li").first().waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await page.locator(".panel").waitFor({ state: "detached" });
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.id), "filter");
  await page.keyboard.type("parse");
  await page.locator("[data-node=enrich].is-dim").waitFor();
  await page.keyboard.press("Escape");
  await page.locator("[data-node=enrich]:not(.is-dim)").waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  for (const [key, selector] of [["2", ".chart"], ["3", ".letter"], ["4", "#pipeline-tab-receipts[aria-selected=true]"], ["1", ".graph"]]) {
    await page.keyboard.press(key);
    await page.locator(selector).first().waitFor();
  }
  await page.keyboard.press("o");
  await page.getByRole("heading", { name: "Pipelines" }).waitFor();
});

withMock("hostile and huge records on a phone, in the dark", { width: 360, height: 740, colorScheme: "dark" }, [], async (page, mock, each) => {
  for (const place of ["bad-day", "orders/graph/parse", "orders/dead-letters", "orders/charts"]) {
    await page.goto(`${mock.url}/#/pipelines/${place}`);
    await page.locator("#pipeline-panel > *").first().waitFor();
    await each.check(place);
  }
  await page.goto(`${mock.url}/#/pipelines/orders/dead-letters`);
  const heads = page.locator(".letter-head");
  await heads.first().waitFor();
  for (let i = 0; i < 4; i += 1) await heads.nth(i).click();
  await page.waitForFunction(() => document.querySelectorAll(".letter-body").length === 4);
  await each.check("dead letters");
  await each.shot("phone-dead-letters-hostile");
  await page.getByRole("button", { name: "Reload" }).click();
  await page.getByText("Reload #1: applied").waitFor();
  await page.getByRole("button", { name: "Reload" }).click();
  await page.getByText("Reload #2: refused").waitFor();
  await page.getByRole("tab", { name: "Receipts" }).click();
  await page.locator(".receipt").nth(1).waitFor();
  await each.shot("phone-receipts");
  await page.goto(`${mock.url}/#/pipelines/orders/graph/enrich`);
  await page.getByRole("tab", { name: "State" }).click();
  await page.locator(".entries-table button", { hasText: "<img src=x onerror" }).click();
  await page.locator(".open-row pre").waitFor();
  await each.check("state");
  await each.shot("phone-state");
});
