// Asking the API: the token, errors as the API words them, server-sent events.

import { parse } from "./format.js";

const TOKEN = "wasmill-token";
const TIME_MS = 15_000;
// A reload waits for a commit boundary.
const RELOAD_MS = 190_000;

/** An answer that is no success, or none at all (`status` 0). */
export class ApiError extends Error {
  constructor(status, title, detail) {
    super(title);
    this.status = status;
    this.detail = detail ?? "";
  }
}

/** The token lives as long as the tab. */
export const token = {
  get: () => sessionStorage.getItem(TOKEN) ?? "",
  set: (text) => (text ? sessionStorage.setItem(TOKEN, text) : sessionStorage.removeItem(TOKEN)),
};

/** A path below /v1/pipelines, each part escaped, with the parameters that are given. */
export function path(parts, params = {}) {
  const given = Object.entries(params).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const query = new URLSearchParams(given).toString();
  return `/v1/pipelines/${parts.map(encodeURIComponent).join("/")}${query ? `?${query}` : ""}`;
}

function headers(extra) {
  const text = token.get();
  return text ? { ...extra, authorization: `Bearer ${text}` } : extra;
}

async function failure(response) {
  const text = await response.text().catch(() => "");
  let said = {};
  try {
    said = JSON.parse(text);
  } catch {
    // A proxy in between answers in its own way.
  }
  return new ApiError(response.status, said.title ?? `the answer was ${response.status}`, said.detail);
}

async function ask(method, url, body, time = TIME_MS) {
  let response;
  let text;
  try {
    response = await fetch(url, {
      method,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      headers: headers(body === undefined ? {} : { "content-type": "application/json" }),
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(time),
    });
    if (response.ok) text = await response.text();
  } catch (error) {
    const late = error.name === "TimeoutError";
    throw new ApiError(0, late ? `no answer within ${time / 1000} s` : "the process does not answer", "");
  }
  if (!response.ok) throw await failure(response);
  try {
    return parse(text);
  } catch {
    throw new ApiError(response.status, "the answer is no JSON", "is there a proxy in between?");
  }
}

export const get = (url) => ask("GET", url);
export const post = (url, body) => ask("POST", url, body, url.endsWith("/reload") ? RELOAD_MS : TIME_MS);

/**
 * Reads server-sent events until the signal aborts or the server ends them. EventSource cannot send a token, so
 * this reads the stream itself. Calls `on(event, data)`; throws when it cannot be opened.
 */
export async function events(url, signal, opened, on) {
  let response;
  try {
    response = await fetch(url, {
      cache: "no-store",
      credentials: "omit",
      headers: headers({ accept: "text/event-stream" }),
      signal,
    });
  } catch (error) {
    if (signal.aborted) return;
    throw new ApiError(0, "the process does not answer", error.message);
  }
  if (!response.ok) throw await failure(response);
  opened();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = "message";
  let data = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines.map((one) => one.replace(/\r$/, ""))) {
        if (line === "") {
          if (data.length > 0) on(event, parse(data.join("\n")));
          event = "message";
          data = [];
        } else if (line.startsWith("event:")) event = line.slice(6).trim();
        else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
      }
    }
  } catch (error) {
    if (!signal.aborted) throw new ApiError(0, "the stream broke off", error.message);
  }
}
