// A stand-in for a process, for developing the page and for what a real one does only on bad days: hostile
// records, an older API, no answers. `node mock.mjs [PORT]` serves it until it is ended. Not part of Wasmill.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const FILES = fileURLToPath(new URL("..", import.meta.url));
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
// As host/server/src/api/ui.rs sends it.
export const POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'; "
  + "require-trusted-types-for 'script'; trusted-types 'none'";
export const HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>';
const BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

const LIMITS = { memory_bytes: 134217728, time_ms_per_record: 10, time_ms_per_call: 1000, output_bytes: 16777216, log_per_second: 100 };

function counts(n, middle) {
  const all = BOUNDS.map((_, i) => Math.round(n * Math.exp(-((i - middle) ** 2))));
  return { p50_ms: BOUNDS[middle] * 900, p99_ms: BOUNDS[middle + 2] * 900, bounds: BOUNDS, counts: [...all, 0] };
}

function orders(world) {
  const n = Math.floor(((Date.now() - world.started) / 1000) * 5123);
  const node = (name, kind, label, share, more = {}) => ({ name, kind, label, records_in: Math.floor(n * share), records_out: Math.floor(n * share), errors: 0, lag: null, latency: null, ...more });
  return {
    name: "orders",
    state: world.paused ? "paused" : "running",
    why: world.paused ? "somebody has paused it" : null,
    file: "/etc/wasmill/orders.toml",
    started: new Date(world.started).toISOString(),
    counters: { records_read: n, records_written: Math.floor(n * 1.7), records_ingested: 0, records_delivered: Math.floor(n * 0.7), dead_letters: world.letters.length, records_skipped: 0, commits: Math.floor(n / 500), aborts: 0 },
    failures: [],
    transforms: [
      { name: "parse", plugin: "order_parse 1.4.0", digest: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", stores: [], calls: n, records: n, failed_records: 3, cpu_seconds: n * 4e-6, memory_peak_bytes: 2_400_000, traps: 0, limits: LIMITS },
      { name: "enrich", plugin: "enrich 0.9.2", digest: "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752", stores: ["customers", "seen"], calls: n, records: n, failed_records: 0, cpu_seconds: n * 9e-6, memory_peak_bytes: 90_000_000, traps: 1, limits: LIMITS,
        shadow: { plugin: "enrich 1.0.0", digest: "ab".repeat(32), records: 1200, differences: 3, failed_calls: 0, examples: [{ input: "orders-in:1:7", current: HOSTILE, candidate: "x" }] } },
    ],
    sinks: ["warehouse"],
    lag: [0, 1, 2].map((partition) => ({ group: "orders", topic: "orders-in", partition, committed: n, end: n + 17 * partition, lag: 17 * partition })),
    lag_total: 51 + Math.floor(20 * Math.sin(Date.now() / 9000) + 20),
    latency: counts(n, 5),
    nodes: [
      node("incoming", "source", "topic orders-in", 1, { lag: 51 }),
      node("parse", "transform", "order_parse 1.4.0", 1, { errors: Math.floor(n / 900), latency: counts(n, 1) }),
      node("enrich", "transform", "enrich 0.9.2", 0.99, { latency: counts(n, 3) }),
      node("warehouse", "sink", "mysql", 0.7, { lag: 4, latency: counts(n, 6) }),
      node("orders-enriched", "topic", "topic", 0.99),
      node("orders-broken", "topic", "topic", 0.01),
    ],
    edges: [
      { from: "incoming", to: "parse", port: null, topic: null },
      { from: "parse", to: "enrich", port: "out", topic: "orders-repartition" },
      { from: "parse", to: "orders-broken", port: "errors", topic: null },
      { from: "enrich", to: "orders-enriched", port: "out", topic: null },
      { from: "enrich", to: "warehouse", port: "out", topic: "orders-warehouse" },
    ],
  };
}

/** A pipeline that went wrong, and whose every text is hostile. */
function hostile() {
  return {
    name: "bad-day",
    state: "degraded",
    why: `${HOSTILE} 1 partitions stand still`,
    file: HOSTILE,
    started: new Date(0).toISOString(),
    counters: { records_read: 1, dead_letters: 2 },
    failures: [{ at: "orders-in:2", node: HOSTILE, code: "E0404", message: `${HOSTILE} ${"x".repeat(5_000)}`, next: HOSTILE }],
    transforms: [{ name: HOSTILE, plugin: HOSTILE, digest: HOSTILE, stores: [HOSTILE] }],
    sinks: [],
    nodes: [{ name: HOSTILE, kind: "transform", label: HOSTILE, records_in: 1, records_out: 1, errors: 0 }],
    edges: [],
  };
}

/** As a process before it could tell more. */
function old() {
  return { name: "old", state: "running", why: null, transforms: [{ name: "pass", plugin: "pass 1" }], sinks: ["out"] };
}

function letters() {
  const one = (offset, value, message) => ({ partition: 0, offset, timestamp: Date.now() - offset * 1000, node: "parse", plugin: "order_parse@1.4.0", code: "bad-record", message, detail: offset === 2 ? HOSTILE : null, timer: null, input: { topic: "orders-in", partition: 1, offset: 400 + offset }, origin: { topic: "orders-in", partition: 1, offset: 400 + offset }, key: `k${offset}`, value, headers: [["traceparent", "00-1"], [HOSTILE, HOSTILE]], state: "open" });
  return [
    one(3, '{"order":12345678901234567890,"lines":[{"sku":"A-1","n":1}]}', "the order has no customer"),
    one(2, HOSTILE, HOSTILE),
    one(1, `{"blob":"${"y".repeat(300_000)}"}`, "too much"),
    one(0, { base64: "/wD+" }, "no UTF-8"),
  ];
}

const ROUTES = ["/v1/pipelines", "/v1/reload", "/v1/receipts", "/v1/pipelines/{name}/pause", "/v1/pipelines/{name}/resume", "/v1/pipelines/{name}/reload",
  "/v1/pipelines/{name}/tap/{node}", "/v1/pipelines/{name}/dead-letters", "/v1/pipelines/{name}/state/{transform}"];

function tap(response, url) {
  response.writeHead(200, { "content-type": "text/event-stream" });
  let n = 0;
  const every = Math.max(1000 / Number(url.searchParams.get("rate") ?? 10), 5);
  const timer = setInterval(() => {
    n += 1;
    const value = n % 3 === 0 ? HOSTILE : n % 7 === 0 ? "z".repeat(200_000) : `{"order":${n},"customer":{"id":${n % 40},"name":"Ann"},"lines":[]}`;
    const record = { node: "parse", port: "out", topic: "orders-in", partition: n % 3, offset: n, timestamp: Date.now(), key: `k${n % 40}`, value, headers: [["h", HOSTILE]], is_cut: false };
    response.write(`event: record\r\ndata: ${JSON.stringify(record)}\r\n\r\n`);
    if (n % 10 === 0) response.write(`: alive\n\nevent: dropped\ndata: {"count":512}\n\n`);
  }, every);
  response.on("close", () => clearInterval(timer));
}

function page(url) {
  const isBase64 = url.searchParams.get("encoding") === "base64";
  const given = (name) => {
    const text = url.searchParams.get(name);
    return text !== null && isBase64 ? Buffer.from(text, "base64").toString() : text;
  };
  const from = Number(given("after") ?? 0);
  const prefix = given("prefix") ?? "";
  const key = given("key");
  const out = (text) => (isBase64 ? Buffer.from(text).toString("base64") : text);
  const entry = (i) => ({ partition: i % 3, key: i === 1 ? HOSTILE : `customer-${i}`, value: i === 2 ? 18446744073709551615n : i === 3 ? "/wD+" : { name: HOSTILE, n: i }, ...(i === 3 ? { value_encoding: "base64" } : {}) });
  const all = Array.from({ length: 120 }, (_, i) => entry(i)).filter((one) => (key === null ? one.key.startsWith(prefix) : one.key === key));
  for (const one of all) Object.assign(one, { key: out(one.key) }, isBase64 ? { key_encoding: "base64" } : {});
  if (key !== null) return all[0];
  const entries = all.slice(from, from + 50);
  return { entries, more: from + 50 < all.length, after: out(String(from + 50)) };
}

const big = (value) => JSON.stringify(value, (_key, one) => (typeof one === "bigint" ? JSON.rawJSON?.(String(one)) ?? `#${one}#` : one)).replace(/"#(\d+)#"/g, "$1");

function api(world, request, url, body) {
  const parts = url.pathname.split("/").filter(Boolean).map(decodeURIComponent).slice(2);
  const [name, what, which, item] = parts;
  if (url.pathname === "/openapi.json") return world.isOld ? { paths: { "/v1/pipelines": {} } } : { paths: Object.fromEntries(ROUTES.map((one) => [one, {}])) };
  if (url.pathname === "/v1/receipts") return { receipts: world.receipts };
  if (url.pathname === "/v1/pipelines") return { pipelines: world.isOld ? [old()] : [hostile(), orders(world)] };
  if (what === "pause" || what === "resume") {
    world.paused = what === "pause";
    return orders(world);
  }
  if (what === "reload" || url.pathname === "/v1/reload") {
    const id = world.receipts.length + 1;
    const isBad = id % 2 === 0;
    world.receipts.push({ id, at: new Date().toISOString(), pipeline: "orders", file: "orders.toml", cause: "api", outcome: isBad ? "refused" : "applied",
      changes: isBad ? [] : [{ part: "transform", name: "enrich", what: "plugin" }], problems: isBad ? [{ code: "E0104", message: HOSTILE, place: "orders.toml:12:3" }] : [], pause_ms: 2.4, took_ms: 381.2 });
    return { receipts: world.receipts.slice(-1) };
  }
  if (what === "state" && !item) return { stores: [{ name: "customers", doc: "What is known of a customer", key_format: "utf8", value_format: "json" }, { name: "seen", doc: HOSTILE, key_format: "u64-le", value_format: "u64-le" }], partitions: [0, 1, 2], restoring: [] };
  if (what === "state") return page(url);
  if (what === "dead-letters" && request.method === "POST") {
    const isAll = body.all;
    const hit = world.letters.filter((one) => one.state === "open" && (isAll || body.letters.some((each) => each.offset === one.offset)));
    for (const one of hit) one.state = which === "replay" ? "replayed" : "discarded";
    return { done: hit.length, problems: [] };
  }
  if (what === "dead-letters" && which) return world.letters.find((one) => one.offset === Number(item));
  if (what === "dead-letters") return { dead_letters: world.letters, next: null, total: world.letters.length };
  return undefined;
}

/** Serves it. `world.isOld`: an API with little; `world.isAway`: no answers; `world.token`: what is wanted. */
export async function serve(port = 0) {
  const world = { started: Date.now() - 60_000, paused: false, letters: letters(), receipts: [], isOld: false, isAway: false, token: "" };
  const server = createServer(async (request, response) => {
    const url = new URL(request.url, "http://localhost");
    const isFile = url.pathname === "/" || url.pathname.startsWith("/ui/");
    if (isFile) {
      const file = normalize(url.pathname === "/" ? "index.html" : url.pathname.slice(4));
      try {
        const bytes = await readFile(join(FILES, file));
        response.writeHead(200, { "content-type": TYPES[extname(file)], "content-security-policy": POLICY, "cache-control": "no-cache" }).end(bytes);
      } catch {
        response.writeHead(404).end();
      }
      return;
    }
    if (world.isAway) {
      request.socket.destroy();
      return;
    }
    const answer = (status, value) => response.writeHead(status, { "content-type": status === 200 ? "application/json" : "application/problem+json" }).end(big(value));
    if (world.token && request.headers.authorization !== `Bearer ${world.token}`) {
      answer(401, { status: 401, title: "a token is missing", detail: "" });
      return;
    }
    let body = "";
    for await (const part of request) body += part;
    if (!world.isOld && url.pathname.includes("/tap/")) {
      tap(response, url);
      return;
    }
    const found = api(world, request, url, body ? JSON.parse(body) : {});
    if (found === undefined) answer(404, { status: 404, title: "there is no such path", detail: "GET /openapi.json lists all paths" });
    else answer(200, found);
  });
  await new Promise((done) => server.listen(port, "127.0.0.1", done));
  return { world, url: `http://127.0.0.1:${server.address().port}`, close: () => server.closeAllConnections() ?? server.close() };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { url } = await serve(Number(process.argv[2] ?? 7078));
  console.log(`the page with invented data is at ${url}`);
}
