// Timer changes of one call, handed over at its end.

import { encode, fromBinary, type Binary } from './codec.ts';
import { columnOfBinaries, toTime } from './column.ts';
import type { Clock, Host } from './contract.ts';
import { RecordError, valid } from './errors.ts';

const NAME_BYTES_MAX = 255;
const CANCEL = -1;

interface Change {
  readonly key: Binary;
  readonly name: Binary;
  /** -1 cancels; `undefined` when the change was taken back. */
  time: number | undefined;
}

/** The timers that a call has changed. */
export class TimerCache {
  readonly #host: Host['timers'];
  readonly #undo: (() => void)[];
  readonly #changes: { readonly [C in Clock]: Map<string, Change> } = { 'event-time': new Map(), 'wall-clock': new Map() };

  constructor(host: Host['timers'], undo: (() => void)[]) {
    this.#host = host;
    this.#undo = undo;
  }

  /** The time for which a timer is set; `undefined` when it is not. */
  get(clock: Clock, key: Binary, name: string): number | undefined {
    const changed = this.#changes[clock].get(id(key, checked(name)))?.time;
    if (changed !== undefined) return changed === CANCEL ? undefined : changed;
    const time = this.#host.get(clock, fromBinary(key), valid(name));
    return time === undefined || time === null ? undefined : Number(time);
  }

  /** Sets a timer. */
  set(clock: Clock, key: Binary, name: string, time: number): void {
    if (!(time >= 0)) throw new RangeError(`the time of the timer \`${name}\` is ${time}`);
    this.#change(clock, key, checked(name), time);
  }

  /** Takes a timer back. */
  cancel(clock: Clock, key: Binary, name: string): void {
    this.#change(clock, key, checked(name), CANCEL);
  }

  #change(clock: Clock, key: Binary, name: Binary, time: number): void {
    const changes = this.#changes[clock];
    const at = id(key, name);
    let change = changes.get(at);
    if (change === undefined) {
      change = { key, name, time: undefined };
      changes.set(at, change);
    }
    const own = change;
    const before = own.time;
    this.#undo.push(() => (own.time = before));
    own.time = time;
  }

  /** Hands the changes to the host. */
  flush(): void {
    for (const clock of ['event-time', 'wall-clock'] as const) {
      const changes = [...this.#changes[clock].values()].filter(({ time }) => time !== undefined);
      if (changes.length === 0) continue;
      this.#host.setMany(
        clock,
        columnOfBinaries(changes.map(({ key }) => key)),
        columnOfBinaries(changes.map(({ name }) => name)),
        BigInt64Array.from(changes, ({ time }) => toTime(time!)),
      );
    }
  }
}

/** Keys and names may hold any character, so their lengths tell them apart. */
function id(key: Binary, name: Binary): string {
  return `${key.length}:${key}${name}`;
}

function checked(name: string): Binary {
  const binary = encode(name);
  if (binary.length === 0) throw new RecordError('no-timer-name', 'a timer needs a name');
  if (binary.length > NAME_BYTES_MAX) throw new RangeError(`a timer's name has at most ${NAME_BYTES_MAX} bytes`);
  return binary;
}
