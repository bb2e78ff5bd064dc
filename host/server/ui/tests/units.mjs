// What the page computes, without a browser: rates and quantiles, layout, how values are written.

import assert from "node:assert/strict";
import { test } from "node:test";
import { bytes, clip, count, json, millis, parse, pretty, rate, short, shown, toBase64 } from "../js/format.js";
import { edgeRate, History, quantile } from "../js/history.js";
import { curve, layout, NODE } from "../js/layout.js";

test("numbers as people read them", () => {
  const cases = [
    [short(0), "0"], [short(9.96), "10.0"], [short(12.34), "12.3"], [short(9999), "9,999"], [short(12_345), "12.3k"], [short(3.2e9), "3.2G"],
    [short(undefined), "–"], [short(NaN), "–"], [rate(5), "5/s"], [rate(null), "–"], [count(1_234_567), "1,234,567"], [count(2n ** 64n), "18,446,744,073,709,551,616"],
    [millis(0), "0 ms"], [millis(0.0042), "4.2 µs"], [millis(0.5), "0.50 ms"], [millis(999), "999 ms"], [millis(90_000), "1.5 min"], [bytes(1536), "1.5 KiB"],
  ];
  for (const [is, wanted] of cases) assert.equal(is, wanted);
});

test("JSON is laid out without changing what it says", () => {
  const text = '{"n":12345678901234567890,"f":1.0,"s":"a\\u0041 {\\"x\\":1}, ","e":{},"l":[],"a":[1,[2]],"n":2}';
  const laid = pretty(text);
  assert.equal(laid.replace(/\n\s*/g, "").replaceAll(": ", ":"), text.replaceAll(": ", ":"));
  assert.match(laid, /^\{\n {2}"n": 12345678901234567890,\n {2}"f": 1\.0,\n/);
  for (const same of ["plain", "{not json", '"text"', "12", "", "<img src=x>"]) assert.equal(pretty(same), same);
});

test("keys and values in each form of the API", () => {
  assert.deepEqual(shown(null), { text: "null", kind: "null" });
  assert.deepEqual(shown("null"), { text: "null", kind: "text" });
  assert.deepEqual(shown({ base64: "/w==" }), { text: "/w==", kind: "base64" });
  assert.deepEqual(shown("/w==", "base64"), { text: "/w==", kind: "base64" });
  assert.deepEqual(shown(toBase64("grün\n"), "base64"), { text: "grün\n", kind: "text" });
  assert.deepEqual(shown(toBase64("a\0"), "base64"), { text: "YQA=", kind: "base64" });
  assert.deepEqual(shown({ base64: "/w==", n: 1 }), { text: '{"base64":"/w==","n":1}', kind: "text" });
  assert.equal(json({ a: [2n ** 64n, null, "x\n"] }), '{"a":[18446744073709551616,null,"x\\n"]}');
  assert.equal(parse('{"a":1.5,"b":7}').a, 1.5);
  assert.equal(clip("a\n b\tc", 10), "a b c");
  assert.equal(clip("x".repeat(1_000_000), 10), `${"x".repeat(10)}…`);
});

test("quantiles are of what lies between two answers", () => {
  const bounds = [0.001, 0.01, 0.1];
  const at = (...counts) => ({ bounds, counts });
  assert.equal(quantile(at(0, 0, 0, 0), at(0, 100, 0, 0), 0.5).toFixed(2), "5.50");
  // The first hundred are long gone.
  assert.equal(quantile(at(0, 0, 100, 0), at(10, 0, 100, 0), 0.99).toFixed(2), "0.99");
  assert.equal(quantile(at(5, 0, 0, 0), at(5, 0, 0, 0), 0.5), undefined);
  assert.equal(quantile(at(5, 0, 0, 0), at(1, 0, 0, 0), 0.5), undefined, "counters that began anew");
  assert.equal(quantile(undefined, at(0, 0, 0, 4), 0.5), 100, "above the last bound");
});

const pipeline = (n, more = {}) => ({
  name: "p", started: "2026-01-01T00:00:00Z", counters: { records_read: n, dead_letters: 0 }, lag_total: 7,
  nodes: [{ name: "a", records_in: n, records_out: 2 * n, errors: 0 }], transforms: [{ name: "a", cpu_seconds: n / 1000 }], ...more,
});

test("rates are differences over the last seconds, and begin anew with the counters", () => {
  const history = new History();
  history.push(pipeline(1_000), 0);
  assert.equal(history.rates.read, undefined, "one answer is no rate");
  for (let i = 1; i <= 20; i += 1) history.push(pipeline(1_000 + 100 * i), i * 1_000);
  assert.equal(history.rates.read, 100);
  assert.equal(history.rates.written, undefined, "not told");
  assert.deepEqual(history.nodes.get("a"), { in: 100, out: 200, errors: 0, p50: undefined, p99: undefined, cpu: 0.1 });
  assert.equal(history.series.lag.at(-1), 7);
  history.push(pipeline(5, { started: "2026-01-01T01:00:00Z" }), 21_000);
  assert.equal(history.rates.read, undefined);
  history.push(pipeline(55, { started: "2026-01-01T01:00:00Z" }), 22_000);
  assert.equal(history.rates.read, 50);
  for (let i = 0; i < 1_000; i += 1) history.push(pipeline(55 + i, { started: "x" }), 23_000 + i * 1_000);
  assert.equal(history.times.length, 600);
  assert.equal(history.series.read.length, 600);
});

test("what goes over an edge is told where it can be", () => {
  const nodes = new Map([["a", { out: 30 }], ["b", { in: 10 }], ["c", { in: 20 }], ["d", { in: 99 }]]);
  const edges = [{ from: "a", to: "b", port: "x" }, { from: "a", to: "c", port: "y" }, { from: "b", to: "d" }, { from: "c", to: "d" }, { from: "a", to: "d", port: "x" }];
  assert.equal(edgeRate(edges[0], edges, nodes), 10);
  assert.equal(edgeRate(edges[2], edges, new Map([["b", { out: 9 }]])), 9, "its only way out");
  assert.equal(edgeRate(edges[4], edges, nodes), undefined, "several ports, several inputs");
});

test("a layout has a place for each node and each edge that leads somewhere", () => {
  const nodes = ["a", "b", "c"].map((name) => ({ name }));
  const edges = [{ from: "a", to: "b" }, { from: "a", to: "b", port: "again" }, { from: "b", to: "c" }, { from: "b", to: "nowhere" }];
  for (const direction of ["LR", "TB"]) {
    const { places, ways, width, height } = layout(nodes, edges, direction);
    assert.deepEqual([...ways.keys()], [0, 1, 2]);
    const [a, c] = [places.get("a"), places.get("c")];
    assert.ok(direction === "LR" ? c.x - a.x > 2 * NODE.width : c.y - a.y > 2 * NODE.height, direction);
    for (const place of places.values()) assert.ok(place.x > 0 && place.x < width && place.y > 0 && place.y < height);
    for (const way of ways.values()) assert.match(way.path, /^M[\d. LQ]+$/);
  }
  assert.equal(layout([], [], "LR").places.size, 0);
  assert.equal(curve([{ x: 0, y: 0 }, { x: 2, y: 4 }]), "M0.0 0.0L2.0 4.0");
});
