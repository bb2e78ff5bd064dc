// Reading and writing the flat columns of the contract.

import type { Column } from './contract.ts';
import { asciiBytes, bytesAreAscii, decode, encode, fromBinary, toBinary, type Binary } from './codec.ts';
import { RecordError } from './errors.ts';

/** A column without entries, which is one that is left out. */
export const EMPTY: Column = { data: new Uint8Array(), ends: new Uint32Array(), marks: new Uint8Array() };

const NULL = 1;
const INHERITED = 2;

/** What stands in a column that is written: text, bytes, null, or (`undefined`) inherited. */
export type Part = string | Uint8Array | null | undefined;

/** A column that is read. What is expensive is done at first use, for all entries at once. */
export class Entries {
  readonly column: Column;
  readonly #ends: Uint32Array;
  readonly #marks: Uint8Array | undefined;
  #binary: Binary | undefined;
  #ascii: boolean | undefined;
  #view: DataView | undefined;

  constructor(column: Column) {
    this.column = column;
    this.#ends = column.ends;
    this.#marks = column.marks.length > 0 ? column.marks : undefined;
  }

  /** Whether entry `i` is null. */
  isNull(i: number): boolean {
    return i >= this.#ends.length || (this.#marks !== undefined && this.#marks[i] !== 0);
  }

  /** Where entry `i` begins in `column.data`. */
  start(i: number): number {
    return i === 0 ? 0 : this.#ends[i - 1]!;
  }

  /** Where entry `i` ends in `column.data`. */
  end(i: number): number {
    return this.#ends[i]!;
  }

  /** Entry `i`, which is not null, as a string of bytes. */
  binary(i: number): Binary {
    this.#binary ??= toBinary(this.column.data);
    return this.#binary.substring(i === 0 ? 0 : this.#ends[i - 1]!, this.#ends[i]!);
  }

  /** Whether entry `i`, which is not null, is the UTF-8 of a text. */
  is(i: number, text: string): boolean {
    // Where all bytes are ASCII, no other text can have the same characters.
    this.#ascii ??= bytesAreAscii(this.column.data);
    return this.binary(i) === (this.#ascii ? text : encode(text));
  }

  /** The bytes of entry `i`, which is not null: a copy, so that nobody writes into the batch. */
  bytes(i: number): Uint8Array {
    return this.column.data.slice(this.start(i), this.end(i));
  }

  /** All bytes, for reading numbers. */
  dataView(): DataView {
    const { data } = this.column;
    return (this.#view ??= new DataView(data.buffer, data.byteOffset, data.byteLength));
  }

  /** Entry `i`, which is not null, as text; `undefined` when it is no UTF-8. */
  textOrNone(i: number): string | undefined {
    this.#ascii ??= bytesAreAscii(this.column.data);
    const binary = this.binary(i);
    return this.#ascii ? binary : decode(binary);
  }

  /** Entry `i`, which is not null, as text. `what` it is goes into the message of `bad-utf8`. */
  text(i: number, what: string): string {
    const text = this.textOrNone(i);
    if (text === undefined) throw new RecordError('bad-utf8', `${what} is no valid UTF-8`);
    return text;
  }
}

/** A column of these parts, with marks where they are needed. */
export function columnOf(parts: readonly Part[]): Column {
  const count = parts.length;
  let plain = true; // Text only.
  let own = false; // Anything but inherited.
  let marks: Uint8Array | undefined;
  for (let i = 0; i < count; i++) {
    const part = parts[i];
    if (typeof part === 'string') {
      own = true;
    } else if (part === null || part === undefined) {
      marks ??= new Uint8Array(count);
      marks[i] = part === null ? NULL : INHERITED;
      own ||= part === null;
    } else {
      own = true;
      plain = false;
    }
  }
  if (!own) return EMPTY;
  let binaries = parts as readonly (string | null | undefined)[];
  // Joining leaves out null and undefined.
  let data = plain ? asciiBytes(binaries.join('')) : undefined;
  if (data === undefined) {
    binaries = parts.map((part) => (typeof part === 'string' ? encode(part) : part ? toBinary(part) : ''));
    data = fromBinary(binaries.join(''));
  }
  const ends = new Uint32Array(count);
  let end = 0;
  for (let i = 0; i < count; i++) ends[i] = end += binaries[i]?.length ?? 0;
  return { data, ends, marks: marks ?? EMPTY.marks };
}

/** A column of strings of bytes; `null` is null. */
export function columnOfBinaries(parts: readonly (Binary | null)[]): Column {
  const ends = new Uint32Array(parts.length);
  let marks: Uint8Array | undefined;
  let end = 0;
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i]!;
    if (part === null) (marks ??= new Uint8Array(parts.length))[i] = NULL;
    else end += part.length;
    ends[i] = end;
  }
  return { data: fromBinary(parts.join('')), ends, marks: marks ?? EMPTY.marks };
}

/**
 * Times that are read. The types that are generated say `BigInt64Array`; a component gets a plain array,
 * of numbers where they are exact.
 */
export class Times {
  readonly #times: ArrayLike<bigint | number>;

  constructor(times: ArrayLike<bigint | number>) {
    this.#times = times;
  }

  /** The time at a place; -1 when there is none. */
  at(i: number): number {
    return Number(this.#times[i] ?? -1);
  }
}

/** A time as the contract has it. Beyond 2^63 it is the last there is. */
export function toTime(time: number): bigint {
  const whole = Math.trunc(time);
  return whole >= 2 ** 63 ? 0x7fff_ffff_ffff_ffffn : BigInt(whole);
}
