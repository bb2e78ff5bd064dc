// State that an earlier version of the plugin has stored.

import { columnOf } from './column.ts';
import type { Host } from './contract.ts';
import type { Format } from './formats.ts';
import { keyBytes, own, StoreReader, type ReadableStore } from './query.ts';
import type { StoreSpec, StoreSpecs } from './stores.ts';

/** A store in a migration, with what one partition has stored in it. */
export interface MigratedStore<T> {
  /** The value of a key; `undefined` when there is none. Throws `bad-state` when it is not of this format. */
  get(key: string | Uint8Array): T | undefined;
  /** Sets the value of a key. */
  put(key: string | Uint8Array, value: T): void;
  /** Removes a key. */
  remove(key: string | Uint8Array): void;
  /** The store as an earlier version has written it. */
  as<A>(earlier: Format<A>): Pick<ReadableStore<A>, 'get'>;
  /**
   * Replaces every entry, in the order of the keys' bytes: `change` is given a key and what the earlier version has
   * stored, and answers what this one stores under the same key; `undefined` removes it. Throws `bad-state`
   * when an entry is not of the earlier format.
   */
  rewrite<A>(earlier: Format<A>, change: (key: Uint8Array, value: A) => T | undefined): void;
}

/** The stores, by their declarations. */
export type MigratedStores<S extends StoreSpecs> = {
  readonly [K in keyof S]: S[K] extends StoreSpec<infer T> ? MigratedStore<T> : never;
};

/** The stores of one partition, to read and to write. */
export class Migration<S extends StoreSpecs = StoreSpecs> {
  /** The stores by name. */
  readonly stores: MigratedStores<S>;

  /** @internal */
  constructor(host: Host, stores: S) {
    this.stores = Object.fromEntries(
      Object.entries(stores).map(([name, spec], id) => [name, new StoreHandle(host, id, name, spec.format)]),
    ) as unknown as MigratedStores<S>;
  }
}

class StoreHandle<T> implements MigratedStore<T> {
  readonly #host: Host;
  readonly #id: number;
  readonly #name: string;
  readonly #format: Format<T>;

  constructor(host: Host, id: number, name: string, format: Format<T>) {
    this.#host = host;
    this.#id = id;
    this.#name = name;
    this.#format = format;
  }

  get(key: string | Uint8Array): T | undefined {
    return this.as(this.#format).get(key);
  }

  put(key: string | Uint8Array, value: T): void {
    this.#putMany([keyBytes(key)], [this.#cell(value)]);
  }

  remove(key: string | Uint8Array): void {
    this.#putMany([keyBytes(key)], [null]);
  }

  as<A>(earlier: Format<A>): StoreReader<A> {
    return new StoreReader(own(this.#host, this.#id), earlier);
  }

  rewrite<A>(earlier: Format<A>, change: (key: Uint8Array, value: A) => T | undefined): void {
    const store = this.as(earlier);
    for (let after: Uint8Array | undefined, more = true; more; ) {
      const page = store.scan(after === undefined ? {} : { after });
      const cells = page.entries.map(([key, value]) => {
        const changed = change(key, value);
        return changed === undefined ? null : this.#cell(changed);
      });
      this.#putMany(page.entries.map(([key]) => key), cells);
      after = page.entries.at(-1)?.[0];
      more = page.more && after !== undefined;
    }
  }

  #cell(value: T): unknown {
    if (value === undefined || value === null) {
      throw new TypeError(`${value} cannot be stored in \`${this.#name}\`; use remove()`);
    }
    return this.#format.toCell(value);
  }

  #putMany(keys: readonly Uint8Array[], cells: readonly unknown[]): void {
    if (keys.length > 0) this.#host.state.putMany(this.#id, columnOf(keys), this.#format.write(cells));
  }
}
