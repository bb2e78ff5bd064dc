// What a plugin's functions may do: emit, keep state, set timers, log.

import { checkBytes, checkTime, checkText } from './checks.ts';
import { encode, toBinary } from './codec.ts';
import type { Call } from './call.ts';
import type { Part } from './column.ts';
import type { Clock, Level } from './contract.ts';
import { RecordError, valid } from './errors.ts';
import { toJson } from './json.ts';
import type { HeaderInput } from './outputs.ts';
import { noKey } from './record.ts';
import { StoreHandle, type StoreSpecs, type Stores } from './stores.ts';

/** The record's own value, without a copy. */
export const INHERIT: unique symbol = Symbol('inherit');

/**
 * The value of an output: text (as UTF-8), bytes, null (a tombstone), `INHERIT`, or any other object or
 * array, which is written as JSON.
 */
export type Value = string | Uint8Array | null | typeof INHERIT | object;

/** What an output does not inherit from its record. */
export interface EmitOptions<P extends string = string> {
  /** The port; the first by default. */
  readonly port?: P;
  /** The key, null for none. Only a port that `rekeys` may change it. */
  readonly key?: string | Uint8Array | null;
  /** A whole number of milliseconds since 1970 UTC. */
  readonly timestamp?: number;
  /** Headers, in place of inherited ones of the same name. */
  readonly headers?: Iterable<HeaderInput>;
  /** Inherits no headers. */
  readonly replaceHeaders?: boolean;
}

/** A port as the context knows it. */
export interface PortInfo {
  readonly name: string;
  readonly rekeys: boolean;
}

const LEVELS: readonly Level[] = ['trace', 'debug', 'info', 'warn', 'error'];

/** What a plugin's functions may do with the record or timer at hand. */
export class Context<S extends StoreSpecs = StoreSpecs, P extends string = string> {
  /** The stores by name. */
  readonly stores: Stores<S>;
  readonly #call: Call;
  readonly #ports: readonly PortInfo[];

  /** @internal */
  constructor(call: Call, stores: S, ports: readonly PortInfo[]) {
    this.#call = call;
    this.#ports = ports;
    this.stores = Object.fromEntries(
      Object.entries(stores).map(([name, spec], id) => [name, new StoreHandle(call, id, name, spec)]),
    ) as unknown as Stores<S>;
  }

  /**
   * Emits an output: by the default port, with the record's key, timestamp and headers, unless the
   * options say otherwise. Throws `no-port` or `key-changed`, and TypeError or RangeError for what cannot
   * be written; then there is no output.
   */
  emit(value: Value, options?: EmitOptions<P>): void {
    const part = partOf(value);
    const { outputs, index } = this.#call;
    if (options === undefined) {
      outputs.push(index, part);
      return;
    }
    const { key, timestamp, replaceHeaders = false } = options;
    const port = options.port === undefined ? 0 : this.#portOf(options.port);
    if (key !== undefined) this.#checkKey(key, this.#ports[port]!);
    if (timestamp !== undefined) checkTime('the timestamp', timestamp);
    const headers = options.headers ? [...options.headers].map(headerOf) : [];
    outputs.push(index, part);
    if (port !== 0) outputs.setPort(port);
    if (key !== undefined) outputs.setKey(copied(key));
    if (timestamp !== undefined) outputs.setTime(timestamp);
    if (headers.length > 0 || replaceHeaders) outputs.setHeaders(headers, replaceHeaders);
  }

  #portOf(name: string): number {
    const port = this.#ports.findIndex((own) => own.name === name);
    if (port < 0) throw new RecordError('no-port', `the plugin declares no port \`${name}\``);
    return port;
  }

  #checkKey(key: string | Uint8Array | null, port: PortInfo): void {
    if (key !== null) checkBytes('the key', key);
    if (port.rekeys) return;
    const given = key === null ? null : typeof key === 'string' ? encode(key) : toBinary(key);
    if (given !== this.#call.key()) {
      throw new RecordError('key-changed', `port \`${port.name}\` does not say \`rekeys\`, so its outputs keep their record's key`);
    }
  }

  /**
   * Sets a timer for the record's key, in place of the one of the same clock and name. It fires once,
   * when the watermark (or the wall clock) reaches the time.
   */
  setTimer(name: string, time: number, clock: Clock = 'event-time'): void {
    const { firing, timers } = this.#call;
    if (clock === 'event-time' && firing?.clock === clock && time <= firing.time) {
      throw new RangeError(`the timer \`${name}\` must be set for a later time than ${firing.time}, which is firing`);
    }
    timers.set(clock, this.#key(), name, time);
  }

  /** Takes a timer of the record's key back. */
  cancelTimer(name: string, clock: Clock = 'event-time'): void {
    this.#call.timers.cancel(clock, this.#key(), name);
  }

  /** The time for which a timer of the record's key is set; `undefined` when it is not. */
  timer(name: string, clock: Clock = 'event-time'): number | undefined {
    return this.#call.timers.get(clock, this.#key(), name);
  }

  #key(): string {
    const key = this.#call.key();
    if (key === null) throw noKey();
    return key;
  }

  /** Writes to the pipeline's log, where the level is kept there. */
  log(level: Level, message: string): void {
    if (LEVELS.indexOf(level) >= LEVELS.indexOf(this.#call.threshold)) {
      this.#call.fixed.host.log.write(level, this.#call.index, valid(message));
    }
  }

  /** The wall clock in milliseconds since 1970 UTC, standing still during a call. Not the same on replay. */
  now(): number {
    return Number(this.#call.fixed.host.context.now());
  }

  /** The largest event time that the task has seen up to this record, it included. Same on replay. */
  streamTime(): number {
    return Number(this.#call.fixed.host.context.streamTime(this.#call.index));
  }

  /** The stream time less the pipeline's lateness, at least -1: event-time timers up to it have fired. */
  watermark(): number {
    return Number(this.#call.fixed.host.context.watermark(this.#call.index));
  }

  /** A seed of 64 bits for random numbers. The same on replay. In a component its last bits are rounded. */
  seed(): bigint {
    // The toolchain hands over a signed `number`, whatever the generated types say.
    return BigInt.asUintN(64, BigInt(this.#call.fixed.host.context.seed(this.#call.index)));
  }

  /** The pipeline's name. */
  get pipeline(): string {
    return this.#call.fixed.host.context.pipeline();
  }

  /** The transform's name in the pipeline. */
  get transform(): string {
    return this.#call.fixed.host.context.transform();
  }
}

function partOf(value: Value): Part {
  if (typeof value === 'string' || value === null) return value;
  if (value === INHERIT) return undefined;
  if (value instanceof Uint8Array) return value.slice();
  if (typeof value === 'object') return toJson(value);
  throw new TypeError(`${typeof value} is no value of an output; write it as text or JSON`);
}

function headerOf([name, value]: HeaderInput): HeaderInput {
  checkText("a header's name", name);
  if (value !== null) checkBytes(`the header \`${name}\``, value);
  return [valid(name), copied(value)];
}

function copied(bytes: string | Uint8Array | null): string | Uint8Array | null {
  return bytes instanceof Uint8Array ? bytes.slice() : bytes;
}
