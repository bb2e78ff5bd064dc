// What a plugin hands over is checked where it does: what cannot be written must fail its record, and not
// the whole call when that is over.

/** The last time there is, 2^63 - 1, as a number. */
export const TIME_LAST = 2 ** 63;

/** Throws unless it is a time. `what` it is goes into the message, here and below. */
export function checkTime(what: string, time: unknown): asserts time is number {
  if (typeof time !== 'number') throw new TypeError(`${what} is a number of milliseconds, not ${kindOf(time)}`);
  if (!(Number.isInteger(time) && time >= 0 && time <= TIME_LAST)) {
    throw new RangeError(`${what} is a whole number of milliseconds since 1970, at most 2^63 - 1, not ${time}`);
  }
}

/** Throws unless it is text. */
export function checkText(what: string, text: unknown): asserts text is string {
  if (typeof text !== 'string') throw new TypeError(`${what} is text, not ${kindOf(text)}`);
}

/** Throws unless it is bytes, or text for its UTF-8. */
export function checkBytes(what: string, bytes: unknown): asserts bytes is string | Uint8Array {
  if (typeof bytes !== 'string' && !(bytes instanceof Uint8Array)) {
    throw new TypeError(`${what} is text or bytes, not ${kindOf(bytes)}`);
  }
}

function kindOf(value: unknown): string {
  return value === null ? 'null' : typeof value;
}
