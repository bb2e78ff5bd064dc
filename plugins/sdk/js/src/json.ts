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

const names = new Map<string, string>();

/**
 * The JSON text of a value: as `JSON.stringify`, and in QuickJS faster, but `-0` stays what it is and a
 * `bigint` is a number with all its digits. A number that is not finite is `null`.
 */
export function toJson(value: unknown): string {
  return write(value) ?? 'null';
}

function write(value: unknown): string | undefined {
  // By how often they occur. Every call and every comparison counts in QuickJS.
  const type = typeof value;
  if (type === 'number') return writeNumber(value as number);
  if (type === 'string') return JSON.stringify(value);
  if (type === 'object') return value === null ? 'null' : writeObject(value as object);
  return type === 'boolean' || type === 'bigint' ? `${value as bigint}` : undefined;
}

function writeNumber(value: number): string {
  if (value === 0) return 1 / value < 0 ? '-0.0' : '0';
  return value - value === 0 ? `${value}` : 'null';
}

function writeObject(value: object): string | undefined {
  if (Array.isArray(value)) return `[${value.map((item) => write(item) ?? 'null').join(',')}]`;
  const own = value as Record<string, unknown>;
  if (typeof own['toJSON'] === 'function') return write((own['toJSON'] as () => unknown)());
  const keys = Object.keys(value);
  let text = '';
  let comma = false;
  for (let i = 0; i < keys.length; i++) {
    const name = keys[i]!;
    const item = own[name];
    const field = typeof item === 'number' ? writeNumber(item) : write(item);
    if (field === undefined) continue;
    // Never compare `text`: that would copy it.
    text += (comma ? ',' : '{') + (names.get(name) ?? quote(name)) + field;
    comma = true;
  }
  return comma ? `${text}}` : '{}';
}

function quote(name: string): string {
  const quoted = `${JSON.stringify(name)}:`;
  // The names of fields are few, unless they come from data.
  if (names.size < 1000) names.set(name, quoted);
  return quoted;
}

/** The error of JSON that cannot be read, or has not the shape that was asked for. */
export function badJson(what: string): RecordError {
  return new RecordError('bad-json', `the value cannot be read as JSON: ${what}`);
}
