// State during one call: read with one host call per store, written with one, and taken back record by
// record. Nothing outlives the call: a call has records of one partition, so partitions never mix.

import { fromBinary, type Binary } from './codec.ts';
import { columnOfBinaries, Entries } from './column.ts';
import type { Host } from './contract.ts';
import type { Format } from './formats.ts';
import { binaryKey } from './record.ts';

/** The place of a key among those that the call has touched. */
export type Slot = number;

type HostState = Pick<Host['state'], 'get' | 'getMany' | 'putMany'>;

/** All keys that a call has touched, and what undoes the record at hand. */
export class Keys {
  readonly #slots = new Map<Binary, Slot>();
  readonly #ofRecords: (Slot | undefined)[] = [];
  readonly list: Binary[] = [];
  /** How many of them are keys of the batch: the first ones. */
  readonly batchCount: number;
  /** Undoes what the record at hand has changed, run from the last to the first. */
  readonly undo: (() => void)[] = [];

  /** The slots of all keys of a batch. */
  constructor(keys: Entries, count: number) {
    for (let i = 0; i < count; i++) {
      const key = binaryKey(keys, i);
      this.#ofRecords.push(key === null ? undefined : this.slot(key));
    }
    this.batchCount = this.list.length;
  }

  /** The slot of any key. */
  slot(key: Binary): Slot {
    let slot = this.#slots.get(key);
    if (slot === undefined) {
      slot = this.list.push(key) - 1;
      this.#slots.set(key, slot);
    }
    return slot;
  }

  /** The slot of a record's key; `undefined` without a key. */
  ofRecord(index: number): Slot | undefined {
    return this.#ofRecords[index];
  }
}

/** What a call knows of one store. */
export class StoreCache {
  readonly #host: HostState;
  readonly #id: number;
  readonly #format: Format<any>;
  readonly #keys: Keys;
  /** By slot: the cell, null where there is none, `undefined` where nothing is known. */
  readonly #cells: unknown[] = [];
  /** By slot: differs from what the host has. */
  readonly #dirty: boolean[] = [];
  /** Slots that became dirty, possibly more than once. */
  readonly #written: Slot[] = [];
  #fetched: Entries | undefined;
  #fetchedCount = 0;

  constructor(host: HostState, id: number, format: Format<any>, keys: Keys) {
    this.#host = host;
    this.#id = id;
    this.#format = format;
    this.#keys = keys;
  }

  /** The cell at a slot, null for none. `ahead`: the first read fetches all keys of the batch. */
  get(slot: Slot, ahead: boolean): unknown {
    const cell = this.#cells[slot];
    return cell === undefined ? this.#load(slot, ahead) : cell;
  }

  #load(slot: Slot, ahead: boolean): unknown {
    if (ahead && this.#fetched === undefined) {
      // Keys that were used in shared stores only are no business of a keyed one.
      this.#fetchedCount = this.#keys.batchCount;
      const keys = this.#keys.list.slice(0, this.#fetchedCount);
      this.#fetched = new Entries(this.#host.getMany(this.#id, columnOfBinaries(keys)));
    }
    let cell: unknown = null;
    if (this.#fetched !== undefined && slot < this.#fetchedCount) {
      if (!this.#fetched.isNull(slot)) cell = this.#format.read(this.#fetched, slot);
    } else {
      const data = this.#host.get(this.#id, fromBinary(this.#keys.list[slot]!));
      if (data !== undefined && data !== null) {
        const one = { data, ends: Uint32Array.of(data.length), marks: new Uint8Array() };
        cell = this.#format.read(new Entries(one), 0);
      }
    }
    this.#place(slot, cell, false);
    return cell;
  }

  /** Sets the cell at a slot; null removes. */
  set(slot: Slot, cell: unknown): void {
    const before = this.#cells[slot];
    const wasDirty = this.#dirty[slot] === true;
    this.#keys.undo.push(() => this.#place(slot, before, wasDirty));
    if (!wasDirty) this.#written.push(slot);
    this.#place(slot, cell, true);
  }

  #place(slot: Slot, cell: unknown, dirty: boolean): void {
    const cells = this.#cells;
    // Without holes, which would make the arrays slow.
    while (cells.length < slot) {
      cells.push(undefined);
      this.#dirty.push(false);
    }
    cells[slot] = cell;
    this.#dirty[slot] = dirty;
  }

  /** Hands what was written to the host. */
  flush(): void {
    const keys: Binary[] = [];
    const cells: unknown[] = [];
    for (const slot of this.#written) {
      if (!this.#dirty[slot]) continue;
      this.#dirty[slot] = false;
      keys.push(this.#keys.list[slot]!);
      cells.push(this.#cells[slot]);
    }
    if (keys.length > 0) this.#host.putMany(this.#id, columnOfBinaries(keys), this.#format.write(cells));
  }
}
