// Numbers, times, and keys and values of records as people read them.

export const DASH = "–";

const known = (n) => typeof n === "bigint" || (typeof n === "number" && Number.isFinite(n));

/** 1,234,567 */
export function count(n) {
  return known(n) ? n.toLocaleString("en-US") : DASH;
}

/** 12.3k */
export function short(n) {
  if (!known(n)) return DASH;
  const size = Math.abs(n);
  if (size >= 1e9) return `${(n / 1e9).toFixed(1)}G`;
  if (size >= 1e6) return `${(n / 1e6).toFixed(1)}M`;
  if (size >= 1e4) return `${(n / 1e3).toFixed(1)}k`;
  if (size >= 100 || Number.isInteger(n)) return Math.round(n).toLocaleString("en-US");
  return n.toFixed(1);
}

/** 512/s */
export function rate(n) {
  return known(n) ? `${short(n)}/s` : DASH;
}

export function millis(ms) {
  if (!known(ms)) return DASH;
  if (ms === 0) return "0 ms";
  if (ms < 0.01) return `${(ms * 1000).toFixed(1)} µs`;
  if (ms < 10) return `${ms.toFixed(2)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 3_600_000) return `${(ms / 60_000).toFixed(1)} min`;
  if (ms < 172_800_000) return `${(ms / 3_600_000).toFixed(1)} h`;
  return `${Math.round(ms / 86_400_000)} days`;
}

export function seconds(n) {
  return known(n) ? millis(n * 1000) : DASH;
}

export function bytes(n) {
  if (!known(n)) return DASH;
  if (n < 1024) return `${n} B`;
  if (n < 1024 ** 2) return `${(n / 1024).toFixed(1)} KiB`;
  if (n < 1024 ** 3) return `${(n / 1024 ** 2).toFixed(1)} MiB`;
  return `${(n / 1024 ** 3).toFixed(1)} GiB`;
}

/** The time of day, with the date where it is not today's. `when`: RFC 3339, or milliseconds since 1970. */
export function time(when) {
  const at = when === undefined || when === null || when === -1 ? null : new Date(when);
  if (at === null || Number.isNaN(at.getTime())) return DASH;
  const two = (n) => String(n).padStart(2, "0");
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  const now = new Date();
  if (at.toDateString() === now.toDateString()) return clock;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock}`;
}

/** How long ago, in words. */
export function since(when) {
  const at = new Date(when ?? NaN).getTime();
  return Number.isNaN(at) ? DASH : millis(Math.max(Math.round((Date.now() - at) / 1000), 0) * 1000);
}

/** The bytes of a text in UTF-8, as base64. */
export function toBase64(text) {
  let bytes = "";
  for (const byte of new TextEncoder().encode(text)) bytes += String.fromCharCode(byte);
  return btoa(bytes);
}

/** Bytes as the text that they are, or as base64. */
function fromBase64(base64) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)));
    // What has control characters is no text.
    if (!/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/.test(text)) return { text, kind: "text" };
  } catch {
    // Not UTF-8.
  }
  return { text: base64, kind: "base64" };
}

/**
 * A key or value as text: `{ text, kind }`, where kind is `null`, `text` or `base64`. The API gives text,
 * null or `{"base64": ...}`; stores say by `encoding` that a text is base64, which may be that of a text.
 */
export function shown(value, encoding) {
  if (value === null || value === undefined) return { text: "null", kind: "null" };
  if (encoding === "base64" && typeof value === "string") return fromBase64(value);
  if (typeof value === "string") return { text: value, kind: "text" };
  if (typeof value === "object" && Object.keys(value).length === 1 && typeof value.base64 === "string") {
    return fromBase64(value.base64);
  }
  return { text: json(value), kind: "text" };
}

/** As JSON, whole numbers of any size included. */
export function json(value) {
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return `[${value.map(json).join(",")}]`;
  if (value && typeof value === "object") {
    return `{${Object.entries(value).map(([k, v]) => `${JSON.stringify(k)}:${json(v)}`).join(",")}}`;
  }
  return JSON.stringify(value) ?? "null";
}

/** Parses JSON without rounding whole numbers beyond 2^53, where the browser can. */
export function parse(text) {
  return JSON.parse(text, (_key, value, context) => {
    const isLarge = typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "");
    return isLarge ? BigInt(context.source) : value;
  });
}

/**
 * JSON with line breaks and indents. Works on the text, so that numbers, escapes and the order of keys stay as
 * they are; a text that is no JSON comes back as it is.
 */
export function pretty(text) {
  const trimmed = text.trim();
  if (!/^[[{]/.test(trimmed)) return text;
  try {
    JSON.parse(trimmed);
  } catch {
    return text;
  }
  let out = "";
  let depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  const tokens = trimmed.match(/"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/g) ?? [];
  for (let i = 0; i < tokens.length; i += 1) {
    const token = tokens[i];
    if (token === "{" || token === "[") {
      const isEmpty = tokens[i + 1] === "}" || tokens[i + 1] === "]";
      if (isEmpty) {
        out += token + tokens[i + 1];
        i += 1;
      } else {
        depth += 1;
        out += token + line();
      }
    } else if (token === "}" || token === "]") {
      depth -= 1;
      out += line() + token;
    } else if (token === ",") out += `,${line()}`;
    else if (token === ":") out += ": ";
    else out += token;
  }
  return out;
}

/** The beginning of a text, on one line. */
export function clip(text, length = 120) {
  const line = text.slice(0, length * 2).replace(/\s+/g, " ");
  return line.length > length || text.length > length * 2 ? `${line.slice(0, length)}…` : line;
}
