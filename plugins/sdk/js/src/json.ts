// JSON as the contract's other languages read and write it.
//
// `JSON.parse` takes what serde_json and Go refuse: half a surrogate pair, a number beyond f64, any
// depth. What a plugin accepts must not depend on its language, so it is checked here.

import { RecordError } from './errors.ts';

/** What JSON can say. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** How deep arrays and objects may stand in each other. */
export const DEPTH_MAX = 127;

/** A number as it was written. */
export class NumberText {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** An object as it was written: in order, with names that may stand twice. */
export class ObjectText {
  readonly fields: [name: string, value: Exact][] = [];
}

/** JSON of which nothing was lost. */
export type Exact = null | boolean | string | NumberText | Exact[] | ObjectText;

/** Reads JSON into plain values. Throws `bad-json`. */
export function parseJson(text: string): Json {
  // Native parsing is recursive: what may be too deep for its stack goes the slow way.
  if (text.length > 2 * DEPTH_MAX && text.split('[').length + text.split('{').length > DEPTH_MAX) {
    return plain(parseExact(text));
  }
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch (error) {
    throw badJson(error instanceof Error ? error.message : String(error));
  }
  check(value, text.includes('\\'));
  return value;
}

function check(value: Json, escapes: boolean): void {
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw badJson('a number is out of range');
  } else if (typeof value === 'string') {
    if (escapes) checkText(value);
  } else if (Array.isArray(value)) {
    for (const item of value) check(item, escapes);
  } else if (value !== null && typeof value === 'object') {
    for (const name of Object.keys(value)) {
      if (escapes) checkText(name);
      check(value[name]!, escapes);
    }
  }
}

function checkText(text: string): void {
  if (!text.isWellFormed()) throw badJson('an escape names half a surrogate pair');
}

/** As plain values. */
export function plain(exact: Exact): Json {
  if (exact instanceof NumberText) {
    const number = Number(exact.text);
    if (!Number.isFinite(number)) throw badJson('a number is out of range');
    return number;
  }
  if (exact instanceof ObjectText) {
    const object: { [name: string]: Json } = {};
    for (const [name, value] of exact.fields) setOwn(object, name, plain(value));
    return object;
  }
  return Array.isArray(exact) ? exact.map(plain) : exact;
}

/** Sets a field, whatever its name: `object.__proto__ = ...` would not. */
export function setOwn(object: { [name: string]: Json }, name: string, value: Json): void {
  if (name === '__proto__') {
    Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true });
  } else {
    object[name] = value;
  }
}

const SPACE = /[ \t\r\n]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?/y;
const STRING = /"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const WORD = /true|false|null/y;

/** Reads JSON so that nothing is lost. Much slower than `parseJson`. Throws `bad-json`. */
export function parseExact(text: string): Exact {
  let at = 0;

  const eat = (token: RegExp): string | undefined => {
    token.lastIndex = at;
    const match = token.exec(text);
    if (match === null) return undefined;
    at += match[0].length;
    return match[0];
  };
  const fail = (what: string): never => {
    throw badJson(`${what} at character ${at + 1}`);
  };
  const take = (char: string): boolean => {
    eat(SPACE);
    if (text[at] !== char) return false;
    at++;
    return true;
  };
  const string = (): string => {
    const literal = eat(STRING) ?? fail('expected a text');
    const value = JSON.parse(literal) as string;
    checkText(value);
    return value;
  };
  const value = (depth: number): Exact => {
    eat(SPACE);
    const first = text[at];
    if (first === '"') return string();
    if ((first === '{' || first === '[') && depth >= DEPTH_MAX) return fail('nested too deep');
    if (first === '{') return object(depth + 1);
    if (first === '[') return array(depth + 1);
    const word = eat(WORD);
    if (word !== undefined) return word === 'null' ? null : word === 'true';
    return new NumberText(eat(NUMBER) ?? fail('expected a value'));
  };
  const object = (depth: number): Exact => {
    const result = new ObjectText();
    at++;
    if (take('}')) return result;
    do {
      eat(SPACE);
      const name = string();
      if (!take(':')) fail('expected `:`');
      result.fields.push([name, value(depth)]);
    } while (take(','));
    if (!take('}')) fail('expected `,` or `}`');
    return result;
  };
  const array = (depth: number): Exact => {
    const result: Exact[] = [];
    at++;
    if (take(']')) return result;
    do result.push(value(depth));
    while (take(','));
    if (!take(']')) fail('expected `,` or `]`');
    return result;
  };

  const result = value(0);
  eat(SPACE);
  if (at < text.length) fail('expected the end');
  return result;
}

/**
 * The JSON text of a value: that of `JSON.stringify`, but a `bigint` is a number with all its digits. Like
 * there, `-0` becomes `0`; see `numberToJson`.
 */
export function toJson(value: unknown): string {
  try {
    return JSON.stringify(value) ?? 'null';
  } catch (error) {
    // In a component `BigInt.prototype.toJSON` sees to it: see component.ts.
    if ('toJSON' in BigInt.prototype || !(error instanceof TypeError)) throw error;
    return write(value) ?? 'null';
  }
}

/** The JSON text of a number, `-0` included. One that is not finite is `null`. */
export function numberToJson(value: number): string {
  if (value === 0) return 1 / value < 0 ? '-0.0' : '0';
  return value - value === 0 ? `${value}` : 'null';
}

/** `JSON.stringify` for values with a `bigint` in them. */
function write(value: unknown): string | undefined {
  if (typeof value === 'bigint') return `${value}`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map((item) => write(item) ?? 'null').join(',')}]`;
  if ('toJSON' in value && typeof value.toJSON === 'function') return write(value.toJSON());
  const fields = Object.entries(value).flatMap(([name, item]) => {
    const text = write(item);
    return text === undefined ? [] : [`${JSON.stringify(name)}:${text}`];
  });
  return `{${fields.join(',')}}`;
}

/** The error of JSON that cannot be read, or has not the shape that was asked for. */
export function badJson(what: string): RecordError {
  return new RecordError('bad-json', `the value cannot be read as JSON: ${what}`);
}
