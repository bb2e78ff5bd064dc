// The outputs of a call, gathered in the flat columns of the contract.

import { EMPTY, columnOf, toTime, type Part, type Times } from './column.ts';
import type { Failure, Headers, Outbound } from './contract.ts';

/** A header that is given: text is written as UTF-8. */
export type HeaderInput = readonly [name: string, value: string | Uint8Array | null];

interface OwnHeaders {
  readonly list: readonly HeaderInput[];
  readonly replace: boolean;
}

const NO_HEADERS: Headers = { ends: EMPTY.ends, names: EMPTY, values: EMPTY, marks: EMPTY.marks };
const NO_PORTS = EMPTY.marks;
const NO_TIMES = new BigInt64Array();

/** Gathers outputs. Columns are made only of what some output does not inherit. */
export class Outputs {
  readonly #parents: number[] = [];
  readonly #values: Part[] = [];
  #ports: number[] | undefined;
  #keys: Part[] | undefined;
  #times: (number | undefined)[] | undefined;
  #headers: (OwnHeaders | undefined)[] | undefined;

  get count(): number {
    return this.#parents.length;
  }

  /** Appends an output that inherits all but its value. */
  push(parent: number, value: Part): void {
    this.#parents.push(parent);
    this.#values.push(value);
  }

  /** Gives the last output a port. */
  setPort(port: number): void {
    (this.#ports ??= [])[this.count - 1] = port;
  }

  /** Gives the last output a key. */
  setKey(key: Part): void {
    (this.#keys ??= [])[this.count - 1] = key;
  }

  /** Gives the last output a timestamp. */
  setTime(time: number): void {
    (this.#times ??= [])[this.count - 1] = time;
  }

  /** Gives the last output headers. */
  setHeaders(list: readonly HeaderInput[], replace: boolean): void {
    (this.#headers ??= [])[this.count - 1] = { list, replace };
  }

  /** Drops all outputs but the first `count`. */
  truncate(count: number): void {
    for (const list of [this.#parents, this.#values, this.#ports, this.#keys, this.#times, this.#headers]) {
      if (list !== undefined && list.length > count) list.length = count;
    }
  }

  /** The columns. `inherited`: the times of the parents. */
  finish(records: number, inherited: Times, failures: Failure[]): Outbound {
    const { count } = this;
    const parents = this.#parents;
    let oneEach = count === records;
    for (let i = 0; oneEach && i < count; i++) oneEach = parents[i] === i;
    return {
      count,
      parents: oneEach ? EMPTY.ends : Uint32Array.from(parents),
      ports: this.#ports ? Uint8Array.from({ length: count }, (_, i) => this.#ports?.[i] ?? 0) : NO_PORTS,
      keys: this.#keys ? columnOf(filled(this.#keys, count)) : EMPTY,
      values: columnOf(this.#values),
      timestamps: this.#timestamps(inherited),
      headers: this.#headers ? headersOf(filled(this.#headers, count)) : NO_HEADERS,
      failures,
    };
  }

  #timestamps(inherited: Times): BigInt64Array {
    const own = this.#times;
    if (own === undefined) return NO_TIMES;
    const times = new BigInt64Array(this.count);
    for (let i = 0; i < times.length; i++) times[i] = toTime(own[i] ?? inherited.at(this.#parents[i]!));
    return times;
  }
}

/** Without the holes of a list that was written here and there. */
function filled<T>(list: T[], count: number): (T | undefined)[] {
  return Array.from({ length: count }, (_, i) => list[i]);
}

function headersOf(own: readonly (OwnHeaders | undefined)[]): Headers {
  const names: string[] = [];
  const values: (string | Uint8Array | null)[] = [];
  const ends = new Uint32Array(own.length);
  const marks = new Uint8Array(own.length);
  own.forEach((headers, i) => {
    for (const [name, value] of headers?.list ?? []) {
      names.push(name);
      values.push(value);
    }
    ends[i] = names.length;
    if (headers?.replace) marks[i] = 1;
  });
  return { ends, names: columnOf(names), values: columnOf(values), marks: marks.includes(1) ? marks : EMPTY.marks };
}
