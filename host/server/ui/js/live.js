// What the API says, asked for each second, for all views.

import { ApiError, get } from "./api.js";
import { History } from "./history.js";

const EVERY_MS = 1_000;
/** Nobody looks: the charts go on, with fewer points. */
const HIDDEN_MS = 5_000;
const BACK_OFF_MAX_MS = 15_000;

/** The routes of the API, by their path in the OpenAPI document; null until that was read. */
let routes = null;

export const live = {
  /** By name, in the order of the API. */
  pipelines: new Map(),
  histories: new Map(),
  /** Undefined while all is well; else an ApiError. */
  error: undefined,
  /** When it is tried again, in milliseconds since 1970. */
  retryAt: 0,
  loaded: false,
  /** The pipeline that is looked at. */
  open: undefined,
  listeners: new Set(),
};

let timer;
let failures = 0;
let asking = false;

/** Whether the process has a route, such as `/v1/pipelines/{name}/pause`. What is not known is tried. */
export function has(route) {
  return routes === null || routes.has(route);
}

async function learnRoutes() {
  try {
    const { paths } = await get("/openapi.json");
    // `{*path}` and `{path}` are the same place.
    if (paths) routes = new Set(Object.keys(paths).map((one) => one.replace("{*", "{")));
  } catch {
    // Each view says what it misses.
  }
}

function take(pipeline, at) {
  live.pipelines.set(pipeline.name, pipeline);
  let history = live.histories.get(pipeline.name);
  if (!history) live.histories.set(pipeline.name, (history = new History()));
  history.push(pipeline, at);
}

async function round() {
  const { pipelines } = await get("/v1/pipelines");
  const at = Date.now();
  const names = new Set(pipelines.map((one) => one.name));
  for (const name of live.pipelines.keys()) if (!names.has(name)) live.pipelines.delete(name);
  for (const name of live.histories.keys()) if (!names.has(name)) live.histories.delete(name);
  for (const pipeline of pipelines) take(pipeline, at);
  if (routes === null) await learnRoutes();
}

/** Asks now, and again after a while. */
export async function refresh() {
  clearTimeout(timer);
  if (asking) return;
  asking = true;
  const restarted = failures > 0;
  const isFirst = !live.loaded;
  try {
    await round();
    failures = 0;
    live.error = undefined;
    live.loaded = true;
    // Another version may have been started.
    if (restarted) routes = null;
  } catch (error) {
    failures += 1;
    live.error = error instanceof ApiError ? error : new ApiError(0, `the page failed: ${error.message}`, "");
  } finally {
    asking = false;
  }
  // The second answer makes the first rates.
  const first = isFirst && failures === 0 ? EVERY_MS / 2 : EVERY_MS;
  const usual = document.hidden ? HIDDEN_MS : first;
  const delay = failures === 0 ? usual : Math.min(EVERY_MS * 2 ** Math.min(failures - 1, 5), BACK_OFF_MAX_MS);
  live.retryAt = Date.now() + delay;
  timer = setTimeout(refresh, delay);
  for (const listener of live.listeners) listener();
}

/** Puts a pipeline as a change answered it in place of what was known. */
export function replace(pipeline) {
  if (!pipeline?.name || !live.pipelines.has(pipeline.name)) return;
  live.pipelines.set(pipeline.name, pipeline);
  for (const listener of live.listeners) listener();
}

export function start() {
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refresh();
  });
  refresh();
}

