// Questions that a plugin answers about its state, while records flow.

import { checkBytes, checkText } from './checks.ts';
import { encode, fromBinary } from './codec.ts';
import { columnOf, Entries } from './column.ts';
import type { Column, Host, Page } from './contract.ts';
import { valid } from './errors.ts';
import type { Format } from './formats.ts';
import { toJson } from './json.ts';
import type { StoreSpec, StoreSpecs } from './stores.ts';

const STATUS_MIN = 200;
const STATUS_MAX = 599;
/** What a scan asks for when it is not said: as much as the host gives at once. */
const LIMIT = 1000;

/** What is asked: `GET /v1/pipelines/PIPELINE/query/TRANSFORM/...`. */
export class Query {
  /** The path after the transform's name: of `items/7` it is `['items', '7']`. */
  readonly path: readonly string[];
  /** Names and values of what stands behind `?`, in their order. */
  readonly parameters: readonly (readonly [name: string, value: string])[];

  /** @internal */
  constructor(path: readonly string[], parameters: readonly (readonly [string, string])[]) {
    this.path = path;
    this.parameters = parameters;
  }

  /** The first parameter of this name. */
  parameter(name: string): string | undefined {
    return this.parameters.find(([own]) => own === name)?.[1];
  }
}

/** An answer: an HTTP status and a body. What the one who asks did wrong is an answer too. */
export class Answer {
  /** 200 to 599. */
  readonly status: number;
  /** The media type of the body. */
  readonly contentType: string;
  readonly body: Uint8Array;

  private constructor(status: number, contentType: string, body: Uint8Array) {
    this.status = status;
    this.contentType = contentType;
    this.body = body;
  }

  /** JSON. */
  static json(value: unknown): Answer {
    return new Answer(200, 'application/json', fromBinary(encode(toJson(value))));
  }

  /** Plain text. */
  static text(text: string): Answer {
    checkText("an answer's text", text);
    return Answer.bytes('text/plain; charset=utf-8', text);
  }

  /** Bytes of a media type, or text for its UTF-8. */
  static bytes(contentType: string, body: string | Uint8Array): Answer {
    checkText("an answer's media type", contentType);
    checkBytes("an answer's body", body);
    return new Answer(200, valid(contentType), typeof body === 'string' ? fromBinary(encode(body)) : body.slice());
  }

  /** There is no such thing (404), with a sentence for people. */
  static notFound(what: string): Answer {
    return Answer.text(what).withStatus(404);
  }

  /** The question is wrong (400), with a sentence for people. */
  static badRequest(what: string): Answer {
    return Answer.text(what).withStatus(400);
  }

  /** The same with another status. */
  withStatus(status: number): Answer {
    if (!Number.isInteger(status) || status < STATUS_MIN || status > STATUS_MAX) {
      throw new RangeError(`${status} is no status: from ${STATUS_MIN} to ${STATUS_MAX}`);
    }
    return new Answer(status, this.contentType, this.body);
  }
}

/** Entries of a scan. */
export interface Scanned<T> {
  /** Keys and values, by the bytes of the keys. A key that several partitions have comes once for each. */
  readonly entries: readonly (readonly [key: Uint8Array, value: T])[];
  /** There are entries after the last key. */
  readonly more: boolean;
}

/** What a scan gives. */
export interface ScanOptions {
  /** Keys that start with this. */
  readonly prefix?: string | Uint8Array;
  /** Keys that come after this one. */
  readonly after?: string | Uint8Array;
  /** So many at most. The host gives at most 1000 and about 1 MiB, so go by `more`. */
  readonly limit?: number;
}

/** A store in a query: what is committed, over all partitions that the process has. */
export interface ReadableStore<T> {
  /** The value of a key; `undefined` when there is none. Throws `bad-state`. */
  get(key: string | Uint8Array): T | undefined;
  /** The values of many keys by one call, `undefined` where there is none. Throws `bad-state`. */
  getMany(keys: Iterable<string | Uint8Array>): (T | undefined)[];
  /** Entries by the bytes of their keys. Throws `bad-state`. */
  scan(options?: ScanOptions): Scanned<T>;
}

/** The stores to read, by their declarations. */
export type ReadableStores<S extends StoreSpecs> = {
  readonly [K in keyof S]: S[K] extends StoreSpec<infer T> ? ReadableStore<T> : never;
};

/** Reads stores in a query. */
export class Reader<S extends StoreSpecs = StoreSpecs> {
  /** The stores by name. */
  readonly stores: ReadableStores<S>;
  readonly #host: Host;

  /** @internal */
  constructor(host: Host, stores: S, source: (id: number, name: string) => Source = (id) => own(host, id)) {
    this.#host = host;
    this.stores = Object.fromEntries(
      Object.entries(stores).map(([name, { format }], id) => [name, new StoreReader(source(id, name), format)]),
    ) as unknown as ReadableStores<S>;
  }

  /**
   * Reads stores of another transform of the pipeline, by their names there:
   * `reader.of('count', { count: keyed(u64) }).stores.count.get('a')`. One that does not exist traps.
   */
  of<const P extends StoreSpecs>(transform: string, stores: P): Reader<P> {
    checkText("a transform's name", transform);
    return new Reader(this.#host, stores, (_, name) => peer(this.#host, transform, name));
  }

  /** The clock on the wall, in milliseconds since 1970 UTC. */
  now(): number {
    return Number(this.#host.context.now());
  }
}

/** The reading functions of the contract, of one store. */
export interface Source {
  get(key: Uint8Array): Uint8Array | null | undefined;
  getMany(keys: Column): Column;
  scan(prefix: Uint8Array, after: Uint8Array | undefined, limit: number): Page;
}

/** One of the plugin's own stores. */
export function own({ state }: Host, id: number): Source {
  return {
    get: (key) => state.get(id, key),
    getMany: (keys) => state.getMany(id, keys),
    scan: (prefix, after, limit) => state.scan(id, prefix, after, limit),
  };
}

function peer({ stores }: Host, transform: string, name: string): Source {
  if (stores === undefined) throw new Error('only a query reads stores of other transforms');
  return {
    get: (key) => stores.get(transform, name, key),
    getMany: (keys) => stores.getMany(transform, name, keys),
    scan: (prefix, after, limit) => stores.scan(transform, name, prefix, after, limit),
  };
}

/** A store that is read by a format. */
export class StoreReader<T> implements ReadableStore<T> {
  readonly #source: Source;
  readonly #format: Format<T>;

  constructor(source: Source, format: Format<T>) {
    this.#source = source;
    this.#format = format;
  }

  get(key: string | Uint8Array): T | undefined {
    const data = this.#source.get(keyBytes(key));
    if (data === undefined || data === null) return undefined;
    return this.#read(new Entries({ data, ends: Uint32Array.of(data.length), marks: new Uint8Array() }), 0);
  }

  getMany(keys: Iterable<string | Uint8Array>): (T | undefined)[] {
    const asked = Array.from(keys, (key) => {
      checkBytes('a key', key);
      return key;
    });
    const found = new Entries(this.#source.getMany(columnOf(asked)));
    return asked.map((_, i) => (found.isNull(i) ? undefined : this.#read(found, i)));
  }

  scan({ prefix = '', after, limit = LIMIT }: ScanOptions = {}): Scanned<T> {
    if (!Number.isInteger(limit) || limit < 0) throw new RangeError(`a limit is a whole number, not ${limit}`);
    const start = keyBytes(prefix, 'a prefix');
    const page = this.#source.scan(start, after === undefined ? undefined : keyBytes(after), Math.min(limit, LIMIT));
    const [keys, values] = [new Entries(page.keys), new Entries(page.values)];
    const entries = Array.from(page.keys.ends, (_, i) => [keys.bytes(i), this.#read(values, i)] as const);
    return { entries, more: page.more };
  }

  #read(entries: Entries, i: number): T {
    return this.#format.fromCell(this.#format.read(entries, i));
  }
}

/** A key as bytes. `what` it is goes into the message. */
export function keyBytes(key: string | Uint8Array, what = 'a key'): Uint8Array {
  checkBytes(what, key);
  return typeof key === 'string' ? fromBinary(encode(key)) : key;
}
