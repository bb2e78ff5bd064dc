// Shapes: what a config table or a record's JSON must look like, checked and typed by one declaration.

import { badJson, NumberText, ObjectText, parseExact, plain, setOwn, type Exact, type Json } from './json.ts';
import { pointerTo, type Problem } from './errors.ts';

/** What a value must look like. `T` is what it is read into. */
export interface Shape<T> {
  /** For people: `a number`, `text`. */
  readonly what: string;
  /** The JSON Schema. */
  readonly schema: { readonly [name: string]: unknown };
  /** One sentence for people. */
  readonly doc?: string;
  /** What a missing field is; without this property the field is required. */
  readonly missing?: { readonly value: T };
  /** How the fast reader of flat objects finds a value of this shape. */
  readonly scalar?: Scalar<T>;
  /** Reads a value. What is wrong is added to `problems`. */
  read(value: Exact, pointer: string, problems: Problem[], strict: boolean): T;
}

/** A shape whose values are one token: a regular expression with one group, and how the group is read. */
export interface Scalar<T> {
  readonly pattern: string;
  /** `undefined` when the token is no such value after all. */
  readonly read: (token: string) => T | undefined;
}

/** The type that a shape reads. */
export type Infer<S> = S extends Shape<infer T> ? T : never;

type Fields = { readonly [name: string]: Shape<any> };
/** An object's type by the shapes of its fields. */
export type ObjectOf<F extends Fields> = { [K in keyof F]: Infer<F[K]> };

const NOTHING = undefined as never;

function wrong(problems: Problem[], pointer: string, message: string): never {
  problems.push({ pointer, message });
  return NOTHING;
}

/** Text, at least `min` characters long. */
export function string(options: { min?: number; doc?: string } = {}): Shape<string> {
  const { min = 0, doc } = options;
  const enough = (text: string): boolean => min === 0 || [...text].length >= min;
  return {
    what: 'text',
    schema: { type: 'string', ...(min > 0 && { minLength: min }) },
    ...(doc !== undefined && { doc }),
    scalar: { pattern: String.raw`"([^"\\\x00-\x1f\x80-\uffff]*)"`, read: (token) => (enough(token) ? token : undefined) },
    read(value, pointer, problems) {
      if (typeof value !== 'string') return wrong(problems, pointer, 'must be text');
      if (!enough(value)) return wrong(problems, pointer, min === 1 ? 'must not be empty' : `must have at least ${min} characters`);
      return value;
    },
  };
}

/** A number that is finite. */
export function number(options: { min?: number; max?: number; doc?: string } = {}): Shape<number> {
  const { min = -Infinity, max = Infinity, doc } = options;
  return {
    what: 'a number',
    schema: { type: 'number', ...bounds(min, max) },
    ...(doc !== undefined && { doc }),
    scalar: {
      pattern: String.raw`(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)`,
      read(token) {
        const value = +token;
        return Number.isFinite(value) && value >= min && value <= max ? value : undefined;
      },
    },
    read(value, pointer, problems) {
      if (!(value instanceof NumberText)) return wrong(problems, pointer, 'must be a number');
      const read = Number(value.text);
      if (!Number.isFinite(read)) return wrong(problems, pointer, 'is a number out of range');
      return inBounds(read, min, max, pointer, problems);
    },
  };
}

const WHOLE = /^-?[0-9]+$/;
const S64_MIN = -0x8000_0000_0000_0000n;
const S64_MAX = 0x7fff_ffff_ffff_ffffn;

function whole(token: string): number | undefined {
  const value = +token;
  if (Number.isSafeInteger(value)) return value;
  const exact = BigInt(token);
  return exact >= S64_MIN && exact <= S64_MAX ? value : undefined;
}

/** A whole number of 64 bits, written without point and exponent. Beyond 2^53 it is rounded. */
export function integer(options: { min?: number; max?: number; doc?: string } = {}): Shape<number> {
  const { min = -Infinity, max = Infinity, doc } = options;
  return {
    what: 'a whole number',
    schema: { type: 'integer', ...bounds(min, max) },
    ...(doc !== undefined && { doc }),
    scalar: {
      pattern: '(-?(?:0|[1-9][0-9]*))',
      read(token) {
        const value = whole(token);
        return value !== undefined && value >= min && value <= max ? value : undefined;
      },
    },
    read(value, pointer, problems) {
      const read = value instanceof NumberText && WHOLE.test(value.text) ? whole(value.text) : undefined;
      if (read === undefined) return wrong(problems, pointer, 'must be a whole number');
      return inBounds(read, min, max, pointer, problems);
    },
  };
}

/** `true` or `false`. */
export function boolean(options: { doc?: string } = {}): Shape<boolean> {
  return {
    what: '`true` or `false`',
    schema: { type: 'boolean' },
    ...options,
    scalar: { pattern: '(true|false)', read: (token) => token === 'true' },
    read: (value, pointer, problems) =>
      typeof value === 'boolean' ? value : wrong(problems, pointer, 'must be `true` or `false`'),
  };
}

/** One of these texts. */
export function oneOf<const T extends string>(texts: readonly T[], options: { doc?: string } = {}): Shape<T> {
  return {
    what: texts.map((text) => `\`${text}\``).join(' or '),
    schema: { enum: texts },
    ...options,
    read(value, pointer, problems) {
      const found = texts.find((text) => text === value);
      return found ?? wrong(problems, pointer, `must be ${this.what}`);
    },
  };
}

/** Any JSON. */
export function anyJson(options: { doc?: string } = {}): Shape<Json> {
  return { what: 'any value', schema: {}, ...options, read: plain };
}

/** A list. */
export function array<T>(of: Shape<T>, options: { doc?: string } = {}): Shape<T[]> {
  return {
    what: 'a list',
    schema: { type: 'array', items: schemaOf(of) },
    ...options,
    read(value, pointer, problems, strict) {
      if (!Array.isArray(value)) return wrong(problems, pointer, 'must be a list');
      return value.map((item, i) => of.read(item, pointer + pointerTo(i), problems, strict));
    },
  };
}

/** A list of a fixed length, each item with a shape of its own. */
export function tuple<const T extends readonly Shape<any>[]>(...of: T): Shape<{ -readonly [K in keyof T]: Infer<T[K]> }> {
  return {
    what: `a list of ${of.length}`,
    schema: { type: 'array', prefixItems: of.map(schemaOf), items: false, minItems: of.length },
    read(value, pointer, problems, strict) {
      if (!Array.isArray(value) || value.length !== of.length) return wrong(problems, pointer, `must be ${this.what}`);
      return of.map((shape, i) => shape.read(value[i]!, pointer + pointerTo(i), problems, strict)) as never;
    },
  };
}

/** A table with any names. */
export function table<T>(of: Shape<T>, options: { doc?: string } = {}): Shape<Map<string, T>> {
  return {
    what: 'a table',
    schema: { type: 'object', additionalProperties: schemaOf(of) },
    ...options,
    read(value, pointer, problems, strict) {
      if (!(value instanceof ObjectText)) return wrong(problems, pointer, 'must be a table');
      return new Map(
        value.fields.map(([name, field]) => [name, of.read(field, pointer + pointerTo(name), problems, strict)]),
      );
    },
  };
}

/** A field that may be missing: `undefined` then, or the value given here. */
export function optional<T>(shape: Shape<T>): Shape<T | undefined>;
export function optional<T>(shape: Shape<T>, value: T): Shape<T>;
export function optional<T>(shape: Shape<T>, value?: T): Shape<T | undefined> {
  const { scalar: _, ...rest } = shape;
  return { ...(rest as Shape<T | undefined>), missing: { value } };
}

/** An object with these fields. A config table may have no others; in a record's JSON others are ignored. */
export function object<F extends Fields>(fields: F, options: { doc?: string } = {}): Shape<ObjectOf<F>> {
  const names = Object.keys(fields);
  const known = names.length === 0 ? 'there are none' : `known are ${names.map((name) => `\`${name}\``).join(', ')}`;
  return {
    what: 'an object',
    schema: {
      type: 'object',
      properties: Object.fromEntries(names.map((name) => [name, schemaOf(fields[name]!)])),
      ...(names.some((name) => !fields[name]!.missing) && {
        required: names.filter((name) => !fields[name]!.missing),
      }),
      additionalProperties: false,
    },
    ...options,
    read(value, pointer, problems, strict) {
      if (!(value instanceof ObjectText)) return wrong(problems, pointer, strict ? 'must be a table' : 'must be an object');
      const seen = new Map<string, Exact>();
      for (const [name, field] of value.fields) {
        if (!Object.hasOwn(fields, name)) {
          if (strict) wrong(problems, pointer + pointerTo(name), `unknown option \`${name}\`: ${known}`);
        } else if (seen.has(name)) {
          wrong(problems, pointer + pointerTo(name), 'stands twice');
        } else {
          seen.set(name, field);
        }
      }
      const result: { [name: string]: Json } = {};
      for (const name of names) {
        const shape = fields[name]!;
        const field = seen.get(name);
        let read;
        if (field !== undefined) read = shape.read(field, pointer + pointerTo(name), problems, strict);
        else if (shape.missing !== undefined) read = shape.missing.value;
        else wrong(problems, pointer + pointerTo(name), `is missing: ${shape.what}`);
        setOwn(result, name, read);
      }
      return result as ObjectOf<F>;
    },
    ...fastReader(fields, names),
  };
}

/** Reads JSON of a shape. Throws `bad-json`. Flat objects whose fields stand as declared are fastest. */
export function readJson<T>(shape: Shape<T>, text: string): T {
  const fast = (shape as Fast<T>).fast?.(text);
  if (fast !== undefined) return fast;
  const problems: Problem[] = [];
  const read = shape.read(parseExact(text), '', problems, false);
  const first = problems[0];
  if (first !== undefined) throw badJson(`${first.pointer || 'it'} ${first.message}`);
  return read;
}

interface Fast<T> {
  /** The value, or `undefined` when the slow way must decide. ASCII, or any bytes as characters. */
  fast?(text: string): T | undefined;
}

/** Whether a shape has the fast reader, which takes text that was not decoded yet. */
export function readFast<T>(shape: Shape<T>, binary: string): T | undefined {
  return (shape as Fast<T>).fast?.(binary);
}

/**
 * One regular expression for an object whose fields are single tokens in the declared order, with other
 * such fields after them: five times as fast as `JSON.parse` in QuickJS. It matches ASCII without
 * escapes only, where it accepts nothing that the slow way refuses.
 */
function fastReader<F extends Fields>(fields: F, names: readonly string[]): Fast<ObjectOf<F>> {
  const scalars = names.map((name) => fields[name]!.scalar);
  if (names.length === 0 || scalars.includes(undefined) || names.some((name) => !/^[A-Za-z0-9_.-]+$/.test(name) || name === '__proto__')) return {};
  const space = '[ \\t\\r\\n]*';
  const text = String.raw`"[^"\\\x00-\x1f\x80-\uffff]*"`;
  const escaped = names.map((name) => name.replaceAll('.', '\\.'));
  const field = (name: string, value: string): string => `${space}${name}${space}:${space}${value}${space}`;
  const declared = names.map((_, i) => field(`"${escaped[i]}"`, scalars[i]!.pattern)).join(',');
  const other = field(
    `(?!"(?:${escaped.join('|')})")${text}`,
    `(?:${text}|${String.raw`-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?`}|true|false|null)`,
  );
  const flat = new RegExp(`^${space}\\{${declared}(?:,${other})*\\}${space}$`);
  return {
    fast(json) {
      const match = flat.exec(json);
      if (match === null) return undefined;
      const result: { [name: string]: unknown } = {};
      for (let i = 0; i < names.length; i++) {
        const value: unknown = scalars[i]!.read(match[i + 1]!);
        if (value === undefined) return undefined;
        result[names[i]!] = value;
      }
      return result as ObjectOf<F>;
    },
  };
}

/** The JSON Schema of a shape. */
export function schemaOf(shape: Shape<any>): object {
  return {
    ...(shape.doc !== undefined && { description: shape.doc }),
    ...shape.schema,
    ...(shape.missing?.value !== undefined && !(shape.missing.value instanceof Map) && { default: shape.missing.value }),
  };
}

/** Reads a config table: its value, or what is wrong in it. */
export function readConfig<T>(shape: Shape<T>, text: string): { value: T } | { problems: Problem[] } {
  const problems: Problem[] = [];
  let exact: Exact;
  try {
    exact = parseExact(text.trim() === '' ? '{}' : text);
  } catch (error) {
    return { problems: [{ pointer: '', message: (error as Error).message }] };
  }
  const value = shape.read(exact, '', problems, true);
  return problems.length > 0 ? { problems } : { value };
}

function bounds(min: number, max: number): object {
  return { ...(min > -Infinity && { minimum: min }), ...(max < Infinity && { maximum: max }) };
}

function inBounds(value: number, min: number, max: number, pointer: string, problems: Problem[]): number {
  if (value < min) return wrong(problems, pointer, `must be at least ${min}`);
  if (value > max) return wrong(problems, pointer, `must be at most ${max}`);
  return value;
}
