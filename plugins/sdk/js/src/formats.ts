// How stored values are written. Other languages read the same bytes.

import { checkText } from './checks.ts';
import { EMPTY, columnOf, type Entries } from './column.ts';
import type { Column } from './contract.ts';
import { RecordError } from './errors.ts';
import { parseJson, toJson } from './json.ts';
import { readJson, type Shape } from './shape.ts';

/**
 * How values of type `T` are stored. `C` is what the SDK holds during a call: it never changes, so that a
 * value that a plugin got from a store and then alters is not altered in the store.
 */
export interface Format<T, C = any> {
  /** As the contract names it. */
  readonly name: 'bytes' | 'utf8' | 'json' | 's64-le' | 'u64-le' | 'f64-le';
  /** What is stored at a place that is not null. Throws `bad-state`. */
  read(entries: Entries, i: number): C;
  /** The cells as a column; null removes. */
  write(cells: readonly (C | null)[]): Column;
  /** What is held for a value that is put. */
  toCell(value: T): C;
  /** The value for what is held. Throws `bad-state`. */
  fromCell(cell: C): T;
}

/** The error of stored bytes that cannot be read. */
export function badState(what: string): RecordError {
  return new RecordError('bad-state', `what is stored cannot be read: ${what}; has the plugin changed its format?`);
}

const same = <T>(value: T): T => value;

/** Any JSON. With a shape, what is read is checked. */
export function json<T>(shape?: Shape<T>): Format<T, string> {
  return {
    name: 'json',
    read: textAt,
    write: (cells) => columnOf(cells),
    toCell: toJson,
    fromCell(cell) {
      try {
        return shape === undefined ? (parseJson(cell) as T) : readJson(shape, cell);
      } catch (error) {
        throw badState((error as Error).message);
      }
    },
  };
}

/** Text. */
export const utf8: Format<string, string> = {
  name: 'utf8',
  read: textAt,
  write: (cells) => columnOf(cells),
  toCell(value) {
    checkText('the value', value);
    return value;
  },
  fromCell: same,
};

/** Bytes as they are. */
export const bytes: Format<Uint8Array, Uint8Array> = {
  name: 'bytes',
  read: (entries, i) => entries.bytes(i),
  write: (cells) => columnOf(cells),
  toCell(value) {
    if (!(value instanceof Uint8Array)) throw new TypeError(`the value is bytes, not ${typeof value}`);
    return value.slice();
  },
  fromCell: (cell) => cell.slice(),
};

/** A whole number from 0 to 2^64 - 1. */
export const u64: Format<bigint, bigint> = eightBytes(
  'u64-le',
  (view, at) => view.getBigUint64(at, true),
  (view, at, value) => view.setBigUint64(at, value, true),
  (value) => whole(value, BigInt.asUintN(64, value)),
);

/** A whole number from -2^63 to 2^63 - 1. */
export const s64: Format<bigint, bigint> = eightBytes(
  's64-le',
  (view, at) => view.getBigInt64(at, true),
  (view, at, value) => view.setBigInt64(at, value, true),
  (value) => whole(value, BigInt.asIntN(64, value)),
);

/** A number. */
export const f64: Format<number, number> = eightBytes(
  'f64-le',
  (view, at) => view.getFloat64(at, true),
  (view, at, value) => view.setFloat64(at, value, true),
  // What is no number is made one, or throws, here and not when all is written.
  (value) => +value,
);

/** A fixed number of `f64`, end to end, declared as `bytes`: the fastest for several numbers. */
export function f64s<const N extends number>(count: N): Format<Numbers<N>, readonly number[]> {
  const size = count * 8;
  return {
    name: 'bytes',
    read(entries, i) {
      const start = entries.start(i);
      const length = entries.end(i) - start;
      if (length !== size) throw badState(`${length} bytes, not ${size}`);
      const view = entries.dataView();
      const numbers: number[] = [];
      for (let at = start; at < start + size; at += 8) numbers.push(view.getFloat64(at, true));
      return numbers;
    },
    write(cells) {
      return fixed(cells, size, (view, at, cell) => {
        for (let i = 0; i < count; i++) view.setFloat64(at + i * 8, cell[i]!, true);
      });
    },
    toCell(value) {
      if (value.length !== count) throw new RangeError(`${value.length} numbers, not ${count}`);
      return copy(value);
    },
    fromCell: (cell) => copy(cell) as unknown as Numbers<N>,
  };
}

/** A copy, of numbers also where a plugin has put something else. For few twice as fast in QuickJS as `map`. */
function copy(numbers: readonly number[]): readonly number[] {
  switch (numbers.length) {
    case 2:
      return [+numbers[0]!, +numbers[1]!];
    case 3:
      return [+numbers[0]!, +numbers[1]!, +numbers[2]!];
    default:
      return numbers.map((number) => +number);
  }
}

/** A tuple of `N` numbers; up to four have types of their own. */
export type Numbers<N extends number> = N extends 1
  ? [number]
  : N extends 2
    ? [number, number]
    : N extends 3
      ? [number, number, number]
      : N extends 4
        ? [number, number, number, number]
        : number[];

function eightBytes<T>(
  name: 's64-le' | 'u64-le' | 'f64-le',
  get: (view: DataView, at: number) => T,
  set: (view: DataView, at: number, value: T) => void,
  toCell: (value: T) => T,
): Format<T, T> {
  return {
    name,
    read(entries, i) {
      const start = entries.start(i);
      const length = entries.end(i) - start;
      if (length !== 8) throw badState(`${length} bytes, not 8`);
      return get(entries.dataView(), start);
    },
    write: (cells) => fixed(cells, 8, set),
    toCell,
    fromCell: same,
  };
}

function whole(value: bigint, wrapped: bigint): bigint {
  if (value !== wrapped) throw new RangeError(`${value} does not fit into 64 bits`);
  return value;
}

function fixed<C>(
  cells: readonly (C | null)[],
  size: number,
  set: (view: DataView, at: number, cell: C) => void,
): Column {
  const count = cells.length;
  const data = new Uint8Array(count * size);
  const view = new DataView(data.buffer);
  const ends = new Uint32Array(count);
  let marks: Uint8Array | undefined;
  let end = 0;
  for (let i = 0; i < count; i++) {
    const cell = cells[i]!;
    if (cell === null) {
      (marks ??= new Uint8Array(count))[i] = 1;
    } else {
      set(view, end, cell);
      end += size;
    }
    ends[i] = end;
  }
  return { data: end === data.length ? data : data.slice(0, end), ends, marks: marks ?? EMPTY.marks };
}

function textAt(entries: Entries, i: number): string {
  const text = entries.textOrNone(i);
  if (text === undefined) throw badState('it is no valid UTF-8');
  return text;
}
