// The host's functions, played by maps, for `testing.ts`.

import { fromBinary, toBinary, type Binary } from './codec.ts';
import { columnOf, Entries, Times } from './column.ts';
import type { Clock, Column, Host, Page } from './contract.ts';

/** What a scan gives at most. */
const PAGE_MAX = 1000;

/** A timer that is due. */
export interface DueTimer {
  readonly key: Binary;
  readonly name: string;
  readonly time: number;
}

/** A host that keeps state and timers in memory. */
export class FakeHost implements Host {
  readonly #lateness: number;
  readonly #stores: Map<Binary, Uint8Array>[] = [];
  /** Stores of other transforms, by the names of both. */
  readonly #peers = new Map<string, Map<Binary, Uint8Array>>();
  readonly #timers: { [C in Clock]: Map<string, DueTimer> } = { 'event-time': new Map(), 'wall-clock': new Map() };
  #now = 0;
  #streamTime = -1;
  /** The stream time up to each record of the call at hand. */
  #seen: number[] = [];
  #calls = 0;

  constructor(lateness: number) {
    this.#lateness = lateness;
  }

  readonly state: Host['state'] = {
    get: (store, key) => this.entries(store).get(toBinary(key))?.slice(),
    getMany: (store, keys) => getMany(this.entries(store), keys),
    scan: (store, prefix, after, limit) => scan(this.entries(store), prefix, after, limit),
    putMany: (store, keys, values) => {
      const [names, cells] = [new Entries(keys), new Entries(values)];
      keys.ends.forEach((_, i) => {
        if (cells.isNull(i)) this.entries(store).delete(names.binary(i));
        else this.put(store, names.binary(i), cells.bytes(i));
      });
    },
  };

  readonly stores: NonNullable<Host['stores']> = {
    get: (transform, store, key) => this.#peer(transform, store).get(toBinary(key))?.slice(),
    getMany: (transform, store, keys) => getMany(this.#peer(transform, store), keys),
    scan: (transform, store, prefix, after, limit) => scan(this.#peer(transform, store), prefix, after, limit),
  };

  readonly timers: Host['timers'] = {
    get: (clock, key, name) => {
      const timer = this.#timers[clock].get(id(toBinary(key), name));
      return timer && BigInt(timer.time);
    },
    setMany: (clock, keys, names, times) => this.#setTimers(clock, keys, names, new Times(times)),
  };

  readonly log: Host['log'] = {
    threshold: () => 'trace',
    write: (level, index, message) => console.error(`${level} ${index ?? ''} ${message}`),
  };

  readonly metrics: Host['metrics'] = { define: () => 0, update: () => {} };

  readonly context: Host['context'] = {
    pipeline: () => 'test',
    transform: () => 'test',
    now: () => BigInt(this.#now),
    streamTime: (index) => BigInt(this.#seen[index] ?? this.#streamTime),
    watermark: (index) => BigInt(Math.max(-1, (this.#seen[index] ?? this.#streamTime) - this.#lateness)),
    seed: (index) => BigInt(this.#calls) * 1_000_003n + BigInt(index),
  };

  /** All of a store. */
  entries(store: number): Map<Binary, Uint8Array> {
    return (this.#stores[store] ??= new Map());
  }

  put(store: number, key: Binary, value: Uint8Array): void {
    this.entries(store).set(key, value);
  }

  /** Stores bytes in a store of another transform. */
  putOf(transform: string, store: string, key: Binary, value: Uint8Array): void {
    const name = id(transform, store);
    const entries = this.#peers.get(name) ?? new Map<Binary, Uint8Array>();
    this.#peers.set(name, entries.set(key, value));
  }

  #peer(transform: string, store: string): Map<Binary, Uint8Array> {
    const entries = this.#peers.get(id(transform, store));
    if (entries === undefined) throw new Error(`no transform \`${transform}\` has a store \`${store}\``);
    return entries;
  }

  /** Runs what may change state; after an exception it is as it was. */
  undoing(run: () => void): void {
    const before = this.#stores.map((entries) => new Map(entries));
    try {
      run();
    } catch (error) {
      this.#stores.splice(0, this.#stores.length, ...before);
      throw error;
    }
  }

  /** The records of the next call have these times. */
  see(times: BigInt64Array): void {
    this.#seen = Array.from(times, (time) => (this.#streamTime = Math.max(this.#streamTime, Number(time))));
  }

  /** Runs a call. */
  call<T>(run: () => T): T {
    this.#calls++;
    try {
      return run();
    } finally {
      this.#seen = [];
    }
  }

  advance(time: number, clock: Clock): void {
    if (clock === 'event-time') this.#streamTime = Math.max(this.#streamTime, time);
    else this.#now = Math.max(this.#now, time);
  }

  /** The timers of a clock in the order in which they fire. */
  timersBy(clock: Clock): DueTimer[] {
    const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
    return [...this.#timers[clock].values()].sort(
      (a, b) => a.time - b.time || order(a.key, b.key) || order(a.name, b.name),
    );
  }

  /** Takes the earliest timers that are due: those of one time. */
  takeDue(clock: Clock): DueTimer[] {
    const reached = clock === 'event-time' ? this.#streamTime - this.#lateness : this.#now;
    const [first, ...rest] = this.timersBy(clock);
    if (first === undefined || first.time > reached) return [];
    const due = [first, ...rest.filter(({ time }) => time === first.time)];
    for (const { key, name } of due) this.#timers[clock].delete(id(key, name));
    return due;
  }

  #setTimers(clock: Clock, keys: Column, names: Column, times: Times): void {
    const [owners, texts] = [new Entries(keys), new Entries(names)];
    keys.ends.forEach((_, i) => {
      const timer = { key: owners.binary(i), name: texts.text(i, 'a name'), time: times.at(i) };
      if (timer.time < 0) this.#timers[clock].delete(id(timer.key, timer.name));
      else this.#timers[clock].set(id(timer.key, timer.name), timer);
    });
  }
}

function id(key: Binary, name: string): string {
  return `${key.length}:${key}${name}`;
}


function getMany(store: Map<Binary, Uint8Array>, keys: Column): Column {
  const entries = new Entries(keys);
  return columnOf(Array.from(keys.ends, (_, i) => store.get(entries.binary(i)) ?? null));
}

function scan(store: Map<Binary, Uint8Array>, prefix: Uint8Array, after: Uint8Array | undefined, limit: number): Page {
  const [start, last] = [toBinary(prefix), after && toBinary(after)];
  // Strings of bytes are in the order of the bytes.
  const keys = [...store.keys()].filter((key) => key.startsWith(start) && (last === undefined || key > last)).sort();
  const page = keys.slice(0, Math.min(limit, PAGE_MAX));
  return {
    keys: columnOf(page.map(fromBinary)),
    values: columnOf(page.map((key) => store.get(key)!)),
    more: page.length < keys.length,
  };
}
