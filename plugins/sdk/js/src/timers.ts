// Timer changes of one call, handed over at its end.

import { checkText, checkTime, TIME_LAST } from './checks.ts';
import { encode, fromBinary, type Binary } from './codec.ts';
import { columnOfBinaries, toTime } from './column.ts';
import type { Clock, Host } from './contract.ts';
import { RecordError, valid } from './errors.ts';

const NAME_BYTES_MAX = 255;
const CANCEL = -1;

interface Change {
  readonly key: Binary;
  readonly name: Binary;
  /** -1 cancels. */
  readonly time: number;
}

/** The changes of one clock's timers. */
class Changes {
  /** All of them, in order: one that was due before a later one took it back has fired. */
  readonly all: Change[] = [];
  /** The last time that was set, by key and name. */
  readonly last = new Map<string, number>();
}

/** The timers that a call has changed. */
export class TimerCache {
  readonly #host: Host['timers'];
  readonly #undo: (() => void)[];
  readonly #changes: { readonly [C in Clock]: Changes } = { 'event-time': new Changes(), 'wall-clock': new Changes() };

  constructor(host: Host['timers'], undo: (() => void)[]) {
    this.#host = host;
    this.#undo = undo;
  }

  /** The time for which a timer is set; `undefined` when it is not. */
  get(clock: Clock, key: Binary, name: string): number | undefined {
    const changed = this.#changes[clock].last.get(id(key, checked(name)));
    if (changed !== undefined) return changed === CANCEL ? undefined : changed;
    const time = this.#host.get(clock, fromBinary(key), valid(name));
    return time === undefined || time === null ? undefined : Number(time);
  }

  /** Sets a timer. */
  set(clock: Clock, key: Binary, name: string, time: number): void {
    const binary = checked(name);
    // A sum may be beyond all times: then the timer waits for the last one.
    const at = time > TIME_LAST ? TIME_LAST : time;
    checkTime(`the time of the timer \`${name}\``, at);
    this.#change(clock, key, binary, at);
  }

  /** Takes a timer back. */
  cancel(clock: Clock, key: Binary, name: string): void {
    this.#change(clock, key, checked(name), CANCEL);
  }

  #change(clock: Clock, key: Binary, name: Binary, time: number): void {
    const { all, last } = this.#changes[clock];
    const at = id(key, name);
    const before = last.get(at);
    this.#undo.push(() => {
      all.pop();
      if (before === undefined) last.delete(at);
      else last.set(at, before);
    });
    all.push({ key, name, time });
    last.set(at, time);
  }

  /** Hands the changes to the host. */
  flush(): void {
    for (const clock of ['event-time', 'wall-clock'] as const) {
      const { all } = this.#changes[clock];
      if (all.length === 0) continue;
      this.#host.setMany(
        clock,
        columnOfBinaries(all.map(({ key }) => key)),
        columnOfBinaries(all.map(({ name }) => name)),
        BigInt64Array.from(all, ({ time }) => toTime(time)),
      );
    }
  }
}

/** Keys and names may hold any character, so their lengths tell them apart. */
function id(key: Binary, name: Binary): string {
  return `${key.length}:${key}${name}`;
}

function checked(name: string): Binary {
  checkText("a timer's name", name);
  const binary = encode(name);
  if (binary.length === 0 || binary.length > NAME_BYTES_MAX) {
    throw new RecordError('no-timer-name', `a timer's name has 1 to ${NAME_BYTES_MAX} bytes, not ${binary.length}`);
  }
  return binary;
}
