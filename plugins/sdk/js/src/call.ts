// One call of the host: the records (or timers) of one partition, and what they have changed so far.

import type { Binary } from './codec.ts';
import { Keys, StoreCache } from './cache.ts';
import type { Entries } from './column.ts';
import type { Clock, Host, Level } from './contract.ts';
import { Outputs } from './outputs.ts';
import type { StoreSpec } from './stores.ts';
import { TimerCache } from './timers.ts';

/** What does not change from call to call. */
export interface Fixed {
  readonly host: Host;
  readonly stores: readonly StoreSpec<any>[];
  readonly setsTimers: boolean;
}

/** The call at hand. One object serves all calls: `begin` forgets everything of the last one. */
export class Call {
  readonly fixed: Fixed;
  outputs = new Outputs();
  /** The record's (or timer's) place in the call. */
  index = 0;
  /** When it is a timer that is run: its clock and time. */
  firing: { readonly clock: Clock; readonly time: number } | undefined;

  #entries!: Entries;
  #count = 0;
  #keys: Keys | undefined;
  #stores: (StoreCache | undefined)[] = [];
  #timers: TimerCache | undefined;
  #threshold: Level | undefined;

  constructor(fixed: Fixed) {
    this.fixed = fixed;
  }

  begin(keys: Entries, count: number): void {
    this.outputs = new Outputs();
    this.firing = undefined;
    this.#entries = keys;
    this.#count = count;
    this.#keys = undefined;
    this.#stores = [];
    this.#timers = undefined;
    this.#threshold = undefined;
  }

  get keys(): Keys {
    return (this.#keys ??= new Keys(this.#entries, this.#count));
  }

  /** The slot of the record's key; `undefined` without a key. */
  slot(): number | undefined {
    return this.keys.ofRecord(this.index);
  }

  /** The record's key; null without one. */
  key(): Binary | null {
    return this.#entries.isNull(this.index) ? null : this.#entries.binary(this.index);
  }

  store(id: number): StoreCache {
    return (this.#stores[id] ??= new StoreCache(this.fixed.host.state, id, this.fixed.stores[id]!.format, this.keys));
  }

  get timers(): TimerCache {
    if (!this.fixed.setsTimers) throw new Error('a plugin that uses timers needs `onTimer`');
    return (this.#timers ??= new TimerCache(this.fixed.host.timers, this.keys.undo));
  }

  get threshold(): Level {
    return (this.#threshold ??= this.fixed.host.log.threshold());
  }

  /** The record at hand is done: what it changed stays. */
  keep(): void {
    if (this.#keys !== undefined) this.#keys.undo.length = 0;
  }

  /** The record at hand has failed: takes back what it changed and emitted. */
  rollback(outputs: number): void {
    this.outputs.truncate(outputs);
    const undo = this.#keys?.undo ?? [];
    for (let step = undo.pop(); step !== undefined; step = undo.pop()) step();
  }

  /** Hands state and timers to the host. */
  flush(): void {
    for (const store of this.#stores) store?.flush();
    this.#timers?.flush();
  }
}
