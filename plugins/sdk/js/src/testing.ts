/**
 * Runs a plugin as a plain function, for unit tests with `node --test`: records in, outputs and failures
 * out, state and timers kept from run to run, time by hand.
 *
 * @packageDocumentation
 */

import { encode, fromBinary, textOf, toBinary } from './codec.ts';
import { columnOf, EMPTY, Entries, Times, toTime } from './column.ts';
import type { Clock, Column, Headers, Inbound, Outbound } from './contract.ts';
import { ConfigError } from './errors.ts';
import { parseJson, type Json } from './json.ts';
import type { Plugin } from './plugin.ts';
import { Query, type Answer } from './query.ts';
import type { Header } from './record.ts';
import { describe, Runtime } from './runtime.ts';
import { FakeHost, type DueTimer } from './testing-host.ts';

/** Bytes, or text for its UTF-8. */
export type Bytes = string | Uint8Array;

/** A record to give to a plugin. What is left out is null, or 0 for the timestamp. */
export interface Input {
  readonly key?: Bytes | null;
  readonly value?: Bytes | null;
  /** Milliseconds since 1970 UTC; null for none. */
  readonly timestamp?: number | null;
  readonly headers?: readonly (readonly [name: string, value: Bytes | null])[];
  /** The name of the plugin's input. */
  readonly input?: string;
}

/** An output, with all that it inherits filled in; headers are the plugin's own only. */
export class Output {
  /** The index of the record that caused it; `undefined` for a timer's. */
  readonly parent: number | undefined;
  /** The name of the timer that caused it; `undefined` for a record's. */
  readonly timer: string | undefined;
  readonly port: string;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly timestamp: number | null;
  readonly headers: readonly Header[];

  /** @internal */
  constructor(fields: Omit<Output, 'text' | 'keyText' | 'json'>) {
    this.parent = fields.parent;
    this.timer = fields.timer;
    this.port = fields.port;
    this.key = fields.key;
    this.value = fields.value;
    this.timestamp = fields.timestamp;
    this.headers = fields.headers;
  }

  /** The value as text; null when there is none, or it is no UTF-8. */
  get text(): string | null {
    return this.value === null ? null : (textOf(this.value) ?? null);
  }

  /** The key as text; null when there is none, or it is no UTF-8. */
  get keyText(): string | null {
    return this.key === null ? null : (textOf(this.key) ?? null);
  }

  /** The value read as JSON. */
  get json(): Json {
    return parseJson(this.text ?? '');
  }
}

/** A record or timer that failed. */
export interface Failed {
  /** The index of the record in the run; `undefined` for a timer. */
  readonly index: number | undefined;
  /** The name of the timer; `undefined` for a record. */
  readonly timer: string | undefined;
  readonly code: string;
  readonly message: string;
  readonly detail: string;
}

/** What a plugin has answered. */
export class Answered {
  readonly status: number;
  readonly contentType: string;
  readonly body: Uint8Array;

  /** @internal */
  constructor({ status, contentType, body }: Answer) {
    this.status = status;
    this.contentType = contentType;
    this.body = body;
  }

  /** The body as text; null when it is no UTF-8. */
  get text(): string | null {
    return textOf(this.body) ?? null;
  }

  /** The body read as JSON. */
  get json(): Json {
    return parseJson(this.text ?? '');
  }
}

/** What came of a run. */
export interface Run {
  readonly outputs: Output[];
  readonly failures: Failed[];
}

/** How a plugin is run. */
export interface Options {
  /** The config table. */
  readonly config?: object;
  /** How much later than the largest time a record may come: the pipeline's `lateness`, in milliseconds. */
  readonly lateness?: number;
  /** How many records a call has. Results must not depend on it. By default all of a run. */
  readonly batch?: number;
}

/** A configured plugin with its state, outside WebAssembly. Its wall clock stands at 0 until `advance`. */
export class Harness {
  readonly #runtime: Runtime;
  readonly #host: FakeHost;
  readonly #ports: readonly string[];
  readonly #inputs: readonly string[];
  readonly #stores: readonly string[];
  readonly #batch: number;
  #offset = 0n;

  /** Configures a plugin. Throws `ConfigError`. */
  constructor(plugin: Plugin, { config = {}, lateness = 0, batch = Infinity }: Options = {}) {
    const about = describe(plugin);
    this.#ports = about.ports.map(({ name }) => name);
    this.#stores = about.stores.map(({ name }) => name);
    this.#inputs = about.inputs;
    // A record may set a timer that the next one makes due.
    this.#batch = about.setsTimers ? 1 : batch;
    this.#host = new FakeHost(lateness);
    this.#runtime = new Runtime(plugin, this.#host);
    const problems = this.#runtime.configure(JSON.stringify(config));
    if (problems.length > 0) throw new ConfigError(problems);
  }

  /** Runs records in order. Event-time timers fire before the record that brings the watermark to their time. */
  run(records: readonly Input[]): Run {
    const run: Run = { outputs: [], failures: [] };
    for (let start = 0; start < records.length; ) {
      const count = Math.min(this.#batch, records.length - start);
      const inbound = this.#inbound(records.slice(start, start + count));
      if (this.#batch === 1) {
        this.#host.see(inbound.timestamps);
        this.#fire('event-time', run);
      } else {
        this.#host.see(inbound.timestamps);
      }
      const outbound = this.#host.call(() => this.#runtime.process(inbound));
      const parent = (i: number): { parent: number; timer: undefined } => ({ parent: start + i, timer: undefined });
      this.#collect(run, outbound, parent, inbound.keys, inbound.values, inbound.timestamps);
      // One that was set for a time that is over fires at once.
      this.#fire('event-time', run);
      start += count;
    }
    return run;
  }

  /** Moves a clock on, and fires the timers that become due. Event time is the stream time, as records bring it. */
  advance(time: number, clock: Clock = 'event-time'): Run {
    const run: Run = { outputs: [], failures: [] };
    this.#host.advance(time, clock);
    this.#fire(clock, run);
    return run;
  }

  /**
   * Asks the plugin, as `GET .../query/TRANSFORM/` with this path, such as `items/7?n=3`. Nothing is decoded.
   * Throws what the plugin does.
   */
  ask(asked = ''): Answered {
    const [path, parameters] = split(asked, '?');
    const pairs = parameters.split('&').filter((pair) => pair !== '');
    const query = new Query(path.split('/').filter((segment) => segment !== ''), pairs.map((pair) => split(pair, '=')));
    return new Answered(this.#host.call(() => this.#runtime.ask(query)));
  }

  /**
   * Lets the plugin change what is stored, as a version has put it there with `store`. Throws what the plugin
   * does; then the stores are as they were.
   */
  migrate(fromVersion: number): void {
    this.#host.undoing(() => this.#host.call(() => this.#runtime.change(fromVersion)));
  }

  /** What a store holds, by the text of the key. */
  state(store: string): Map<string, Uint8Array> {
    const entries = [...this.#host.entries(this.#id(store))];
    return new Map(entries.map(([key, value]) => [textOf(fromBinary(key)) ?? key, value]));
  }

  /** Stores bytes under a key, as an earlier run could have. */
  store(store: string, key: Bytes, value: Bytes): void {
    this.#host.put(this.#id(store), binary(key), fromBinary(binary(value)));
  }

  /** Stores bytes in a store of another transform, for queries. */
  storeOf(transform: string, store: string, key: Bytes, value: Bytes): void {
    this.#host.putOf(transform, store, binary(key), fromBinary(binary(value)));
  }

  /** The timers that are set, in the order in which they will fire. */
  get timers(): { key: string; name: string; time: number; clock: Clock }[] {
    return (['event-time', 'wall-clock'] as const).flatMap((clock) =>
      this.#host
        .timersBy(clock)
        .map(({ key, name, time }) => ({ key: textOf(fromBinary(key)) ?? key, name, time, clock })),
    );
  }

  #id(store: string): number {
    const id = this.#stores.indexOf(store);
    if (id < 0) throw new Error(`the plugin has no store \`${store}\``);
    return id;
  }

  #fire(clock: Clock, run: Run): void {
    for (let due = this.#host.takeDue(clock); due.length > 0; due = this.#host.takeDue(clock)) {
      const keys = columnOf(due.map(({ key }) => fromBinary(key)));
      const times = BigInt64Array.from(due, ({ time }) => toTime(time));
      const outbound = this.#host.call(() =>
        this.#runtime.onTimers({
          count: due.length,
          partition: 0,
          clock,
          keys,
          names: columnOf(due.map(({ name }) => name)),
          times,
        }),
      );
      const parent = (i: number): { parent: undefined; timer: string } => ({ parent: undefined, timer: (due[i] as DueTimer).name });
      this.#collect(run, outbound, parent, keys, EMPTY, times);
    }
  }

  #collect(
    run: Run,
    outbound: Outbound,
    source: (i: number) => Pick<Output, 'parent' | 'timer'>,
    parentKeys: Column,
    parentValues: Column,
    parentTimes: BigInt64Array,
  ): void {
    const names = new Entries(outbound.headers.names);
    const headerValues = new Entries(outbound.headers.values);
    const ownTimes = new Times(outbound.timestamps);
    const times = new Times(parentTimes);
    for (let i = 0; i < outbound.count; i++) {
      const parent = outbound.parents[i] ?? i;
      const pick = (own: Column, from: Column): Uint8Array | null => {
        const inherits = own.ends.length === 0 || own.marks[i] === 2;
        const entries = new Entries(inherits ? from : own);
        const at = inherits ? parent : i;
        return entries.isNull(at) ? null : entries.bytes(at);
      };
      const time = outbound.timestamps.length > 0 ? ownTimes.at(i) : times.at(parent);
      const headers: Header[] = [];
      for (let h = outbound.headers.ends[i - 1] ?? 0; h < (outbound.headers.ends[i] ?? 0); h++) {
        headers.push([names.text(h, 'a name'), headerValues.isNull(h) ? null : headerValues.bytes(h)]);
      }
      run.outputs.push(
        new Output({
          ...source(parent),
          port: this.#ports[outbound.ports[i] ?? 0]!,
          key: pick(outbound.keys, parentKeys),
          value: pick(outbound.values, parentValues),
          timestamp: time < 0 ? null : time,
          headers,
        }),
      );
    }
    for (const { index, ...failure } of outbound.failures) {
      const { parent, timer } = source(index);
      run.failures.push({ index: parent, timer, ...failure });
    }
  }

  #inbound(records: readonly Input[]): Inbound {
    const names: string[] = [];
    const values: (Bytes | null)[] = [];
    const ends = records.map(({ headers = [] }) => {
      for (const [name, value] of headers) {
        names.push(name);
        values.push(value);
      }
      return names.length;
    });
    const headers: Headers = {
      ends: Uint32Array.from(ends),
      names: columnOf(names),
      values: columnOf(values),
      marks: new Uint8Array(),
    };
    const first = this.#offset;
    this.#offset += BigInt(records.length);
    return {
      count: records.length,
      partition: 0,
      keys: columnOf(records.map(({ key = null }) => key)),
      values: columnOf(records.map(({ value = null }) => value)),
      timestamps: BigInt64Array.from(records, ({ timestamp = 0 }) => (timestamp === null ? -1n : toTime(timestamp))),
      inputs: Uint8Array.from(records, ({ input }) => (input === undefined ? 0 : this.#input(input))),
      headers,
      origins: {
        topics: ['test'],
        topicIndexes: new Uint16Array(),
        partitions: new Uint32Array(),
        offsets: BigInt64Array.from(records, (_, i) => first + BigInt(i)),
      },
    };
  }

  #input(name: string): number {
    const input = this.#inputs.indexOf(name);
    if (input < 0) throw new Error(`the plugin has no input \`${name}\``);
    return input;
  }
}

function binary(bytes: Bytes): string {
  return typeof bytes === 'string' ? encode(bytes) : toBinary(bytes);
}

function split(text: string, at: string): [before: string, after: string] {
  const place = text.indexOf(at);
  return place < 0 ? [text, ''] : [text.slice(0, place), text.slice(place + 1)];
}
