// Stores as a plugin declares and uses them.

import { checkBytes } from './checks.ts';
import { encode, toBinary } from './codec.ts';
import type { Call } from './call.ts';
import { RecordError } from './errors.ts';
import type { Format } from './formats.ts';
import { noKey } from './record.ts';

/** A declared store. */
export interface StoreSpec<T, K extends boolean = boolean> {
  readonly format: Format<T>;
  readonly keyed: K;
  readonly doc: string;
}

/** A store with one value per record key: the usual kind. */
export function keyed<T>(format: Format<T>, doc = ''): StoreSpec<T, true> {
  return { format, keyed: true, doc };
}

/** A store used under any key. It belongs to the task's partition. */
export function shared<T>(format: Format<T>, doc = ''): StoreSpec<T, false> {
  return { format, keyed: false, doc };
}

/** A keyed store in use: what it holds under the key of the record or timer at hand. */
export interface KeyedStore<T> {
  /** The value; `undefined` when there is none. Throws `no-key` or `bad-state`. */
  get(): T | undefined;
  /** Sets the value. Throws `no-key`. */
  put(value: T): void;
  /** Removes the value. Throws `no-key`. */
  remove(): void;
}

/** A shared store in use. */
export interface SharedStore<T> {
  /** The value of a key; `undefined` when there is none. Throws `bad-state`. */
  get(key: string | Uint8Array): T | undefined;
  /** Sets the value of a key. */
  put(key: string | Uint8Array, value: T): void;
  /** Removes a key. */
  remove(key: string | Uint8Array): void;
}

/** Declared stores by name. */
export type StoreSpecs = { readonly [name: string]: StoreSpec<any> };

/** The stores in use, by their declarations. */
export type Stores<S extends StoreSpecs> = {
  readonly [K in keyof S]: S[K] extends StoreSpec<infer T, true>
    ? KeyedStore<T>
    : S[K] extends StoreSpec<infer T, false>
      ? SharedStore<T>
      : never;
};

/** What lies behind both kinds. */
export class StoreHandle {
  readonly #call: Call;
  readonly #id: number;
  readonly #name: string;
  readonly #spec: StoreSpec<any>;

  constructor(call: Call, id: number, name: string, spec: StoreSpec<any>) {
    this.#call = call;
    this.#id = id;
    this.#name = name;
    this.#spec = spec;
  }

  get(key?: string | Uint8Array): unknown {
    const cell = this.#call.store(this.#id).get(this.#slot(key), this.#spec.keyed);
    return cell === null ? undefined : this.#spec.format.fromCell(cell);
  }

  // A keyed store is given the value alone.
  put(first: unknown, second?: unknown): void {
    const alone = this.#spec.keyed && second === undefined;
    const value = alone ? first : second;
    const slot = this.#slot(alone ? undefined : (first as string | Uint8Array));
    if (value === undefined || value === null) {
      throw new TypeError(`${value} cannot be stored in \`${this.#name}\`; use remove()`);
    }
    this.#call.store(this.#id).set(slot, this.#spec.format.toCell(value));
  }

  remove(key?: string | Uint8Array): void {
    this.#call.store(this.#id).set(this.#slot(key), null);
  }

  #slot(key: string | Uint8Array | undefined): number {
    if (this.#spec.keyed) {
      if (key !== undefined) {
        throw new RecordError('keyed-store', `the store \`${this.#name}\` is keyed by the record; declare it with shared()`);
      }
      const slot = this.#call.slot();
      if (slot === undefined) throw noKey();
      return slot;
    }
    if (key === undefined) throw new TypeError(`the store \`${this.#name}\` is shared: give it a key`);
    checkBytes('a key', key);
    return this.#call.keys.slot(typeof key === 'string' ? encode(key) : toBinary(key));
  }
}
