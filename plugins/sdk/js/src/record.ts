// One record, or one timer, read from its batch.

import type { Binary } from './codec.ts';
import { Entries, Times } from './column.ts';
import type { Clock, DueTimers, Inbound } from './contract.ts';
import { RecordError } from './errors.ts';
import { badJson, parseJson, type Json } from './json.ts';
import { readFast, readJson, type Shape } from './shape.ts';

/** A header: a name and a value, which may be null. */
export type Header = readonly [name: string, value: Uint8Array | null];

/** Where a record entered the pipeline. */
export interface Origin {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

/** What the records of a batch have in common. */
export class Batch {
  readonly keys: Entries;
  readonly values: Entries;
  readonly times: Times;
  readonly inbound: Inbound;
  readonly inputs: readonly string[];
  #headers: { names: Entries; values: Entries } | undefined;
  #offsets: Times | undefined;

  constructor(inbound: Inbound, inputs: readonly string[]) {
    this.inbound = inbound;
    this.inputs = inputs;
    this.keys = new Entries(inbound.keys);
    this.values = new Entries(inbound.values);
    this.times = new Times(inbound.timestamps);
  }

  get headers(): { names: Entries; values: Entries } {
    const { names, values } = this.inbound.headers;
    return (this.#headers ??= { names: new Entries(names), values: new Entries(values) });
  }

  get offsets(): Times {
    return (this.#offsets ??= new Times(this.inbound.origins.offsets));
  }
}

/** A record. It is of use until the plugin's function returns: keep what it answers, not itself. */
export class Record {
  readonly #batch: Batch;
  /** @internal */
  index = 0;

  /** @internal */
  constructor(batch: Batch) {
    this.#batch = batch;
  }

  /** The key; null without one. */
  get key(): Uint8Array | null {
    const { keys } = this.#batch;
    return keys.isNull(this.index) ? null : keys.bytes(this.index);
  }

  /** The value; null for a tombstone. */
  get value(): Uint8Array | null {
    const { values } = this.#batch;
    return values.isNull(this.index) ? null : values.bytes(this.index);
  }

  /** Whether there is a key. */
  get hasKey(): boolean {
    return !this.#batch.keys.isNull(this.index);
  }

  /** Whether there is no value: the record deletes its key. */
  get isTombstone(): boolean {
    return this.#batch.values.isNull(this.index);
  }

  /** The key as text. Throws `no-key` or `bad-utf8`. */
  keyText(): string {
    const { keys } = this.#batch;
    if (keys.isNull(this.index)) throw noKey();
    return keys.text(this.index, 'the key');
  }

  /** Whether the key is this text: quicker than to compare with `keyText`, and never throws. */
  keyIs(text: string): boolean {
    const { keys } = this.#batch;
    return !keys.isNull(this.index) && keys.is(this.index, text);
  }

  /** The value as text. Throws `no-value` or `bad-utf8`. */
  text(): string {
    const { values } = this.#batch;
    if (values.isNull(this.index)) throw noValue();
    return values.text(this.index, 'the value');
  }

  /** The value read as JSON, its shape unchecked. Throws `no-value` or `bad-json`. */
  json(): Json;
  /** The value read as JSON of this shape. Throws `no-value` or `bad-json`. */
  json<T>(shape: Shape<T>): T;
  json<T>(shape?: Shape<T>): T | Json {
    const { values } = this.#batch;
    if (values.isNull(this.index)) throw noValue();
    if (shape !== undefined) {
      const fast = readFast(shape, values.binary(this.index));
      if (fast !== undefined) return fast;
    }
    const text = this.jsonText();
    return shape === undefined ? parseJson(text) : readJson(shape, text);
  }

  /** The value as the text of JSON, not read yet. Throws `no-value` or, where it is no UTF-8, `bad-json`. */
  jsonText(): string {
    const { values } = this.#batch;
    if (values.isNull(this.index)) throw noValue();
    const text = values.textOrNone(this.index);
    if (text === undefined) throw badJson('it is no valid UTF-8');
    return text;
  }

  /** Milliseconds since 1970 UTC; null for none. */
  get timestamp(): number | null {
    const time = this.#batch.times.at(this.index);
    return time < 0 ? null : time;
  }

  /** The input by which the record came: one of the plugin's `inputs`, `""` where it names none. */
  get input(): string {
    return this.#batch.inputs[this.#batch.inbound.inputs[this.index] ?? 0] ?? '';
  }

  /** The task's partition. */
  get partition(): number {
    return this.#batch.inbound.partition;
  }

  /** The headers in order, when the plugin `readsHeaders`. A name may stand more than once. */
  get headers(): Header[] {
    const { ends } = this.#batch.inbound.headers;
    const found: Header[] = [];
    const end = ends[this.index] ?? 0;
    const start = this.index === 0 ? 0 : (ends[this.index - 1] ?? 0);
    if (start === end) return found;
    const { names, values } = this.#batch.headers;
    for (let i = start; i < end; i++) {
      found.push([names.textOrNone(i) ?? '', values.isNull(i) ? null : values.bytes(i)]);
    }
    return found;
  }

  /** The last header of a name; null when its value is null, `undefined` when there is none. */
  header(name: string): Uint8Array | null | undefined {
    return this.headers.findLast(([own]) => own === name)?.[1];
  }

  /** Where the record entered the pipeline, when the plugin `readsOrigins`. */
  get origin(): Origin | undefined {
    const { origins, partition } = this.#batch.inbound;
    const topic = origins.topics[origins.topicIndexes[this.index] ?? 0];
    if (topic === undefined || origins.offsets.length === 0) return undefined;
    return {
      topic,
      partition: origins.partitions[this.index] ?? partition,
      offset: this.#batch.offsets.at(this.index),
    };
  }
}

/** Timers that are due. */
export class DueBatch {
  readonly keys: Entries;
  readonly names: Entries;
  readonly times: Times;
  readonly due: DueTimers;

  constructor(due: DueTimers) {
    this.due = due;
    this.keys = new Entries(due.keys);
    this.names = new Entries(due.names);
    this.times = new Times(due.times);
  }
}

/** A timer that has fired. Outputs inherit its key and its time. */
export class Timer {
  readonly #batch: DueBatch;
  /** @internal */
  index = 0;

  /** @internal */
  constructor(batch: DueBatch) {
    this.#batch = batch;
  }

  /** Its name. */
  get name(): string {
    return this.#batch.names.textOrNone(this.index) ?? '';
  }

  /** The time for which it was set, in milliseconds since 1970 UTC. */
  get time(): number {
    return this.#batch.times.at(this.index);
  }

  /** Which time it waited for. */
  get clock(): Clock {
    return this.#batch.due.clock;
  }

  /** The key for which it was set. */
  get key(): Uint8Array {
    return this.#batch.keys.bytes(this.index);
  }

  /** The key as text. Throws `bad-utf8`. */
  keyText(): string {
    return this.#batch.keys.text(this.index, 'the key');
  }

  /** The task's partition. */
  get partition(): number {
    return this.#batch.due.partition;
  }
}

/** The error of a record that has no key where one is needed. */
export function noKey(): RecordError {
  return new RecordError('no-key', 'the record has no key');
}

function noValue(): RecordError {
  return new RecordError('no-value', 'the record has no value');
}

/** The key at a place as a string of bytes; null without one. */
export function binaryKey(keys: Entries, i: number): Binary | null {
  return keys.isNull(i) ? null : keys.binary(i);
}
