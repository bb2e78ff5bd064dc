// A plugin's life in its instance: what the component exports, in terms of the host's functions.

import { Call } from './call.ts';
import type { Clock, Description, DueTimers, Failure, Host, Inbound, Outbound, Request, Response } from './contract.ts';
import { Context, type PortInfo } from './context.ts';
import { ConfigError, failureOf, valid, type Problem } from './errors.ts';
import { Migration } from './migration.ts';
import type { Env, Metric, Plugin, PluginSpec, PortSpecs } from './plugin.ts';
import { Answer, Query, Reader } from './query.ts';
import { Batch, DueBatch, Record, Timer } from './record.ts';
import { object, readConfig, schemaOf } from './shape.ts';
import type { StoreSpecs } from './stores.ts';

type AnySpec = PluginSpec<any, any, any, any>;
type Labels = { readonly [name: string]: string };

const DEFAULT_PORTS: PortSpecs = { out: { doc: 'All outputs' } };
const NO_OPTIONS = object({});

function portsOf(spec: AnySpec): PortSpecs {
  const ports = (spec.ports ?? {}) as PortSpecs;
  return Object.keys(ports).length > 0 ? ports : DEFAULT_PORTS;
}

/** What the plugin says of itself. */
export function describe({ spec }: Plugin): Description {
  const stores = (spec.stores ?? {}) as StoreSpecs;
  return {
    name: spec.name,
    version: spec.version,
    doc: spec.doc ?? '',
    stateVersion: spec.stateVersion ?? 0,
    inputs: [...(spec.inputs ?? [])],
    ports: Object.entries(portsOf(spec)).map(([name, { doc = '', rekeys = false }]) => ({ name, doc, rekeys })),
    stores: Object.entries(stores).map(([name, { doc, keyed, format }]) => ({
      name,
      doc,
      table: false,
      keyed,
      keyFormat: 'bytes',
      valueFormat: format.name,
    })),
    setsTimers: spec.onTimer !== undefined,
    readsHeaders: spec.readsHeaders ?? false,
    readsOrigins: spec.readsOrigins ?? false,
    configSchema: spec.config === undefined ? '' : JSON.stringify(schemaOf(spec.config)),
    extra: [],
  };
}

/** A configured plugin. */
export class Runtime {
  readonly #spec: AnySpec;
  readonly #stores: StoreSpecs;
  readonly #call: Call;
  readonly #context: Context<any, any>;
  #own: unknown;

  constructor({ spec }: Plugin, host: Host) {
    this.#spec = spec;
    const stores = (spec.stores ?? {}) as StoreSpecs;
    this.#stores = stores;
    const ports = Object.entries(portsOf(spec)).map(([name, { rekeys = false }]): PortInfo => ({ name, rekeys }));
    this.#call = new Call({ host, stores: Object.values(stores), setsTimers: spec.onTimer !== undefined });
    this.#context = new Context(this.#call, stores, ports);
  }

  /** Reads the config table. Answers what is wrong in it. */
  configure(text: string): Problem[] {
    const read = readConfig<unknown>(this.#spec.config ?? NO_OPTIONS, text);
    if ('problems' in read) return read.problems.map(validProblem);
    try {
      const { setup } = this.#spec;
      this.#own = setup === undefined ? read.value : setup.call(this.#spec, read.value, envOf(this.#call.fixed.host));
      return [];
    } catch (error) {
      if (error instanceof ConfigError) return error.problems.map(validProblem);
      const { message, detail } = failureOf(0, error);
      return [{ pointer: '', message: detail || message }];
    }
  }

  /** Runs a batch, record by record. */
  process(inbound: Inbound): Outbound {
    const batch = new Batch(inbound, this.#spec.inputs ?? []);
    const record = new Record(batch);
    const call = this.#call;
    const context = this.#context;
    const spec = this.#spec;
    const own = this.#own;
    const failures: Failure[] = [];
    call.begin(batch.keys, inbound.count);
    for (let index = 0; index < inbound.count; index++) {
      call.index = index;
      record.index = index;
      const emitted = call.outputs.count;
      try {
        const answer: unknown = spec.process(record, context, own);
        if (answer !== undefined) refuseAsync(answer, 'process');
        call.keep();
      } catch (error) {
        call.rollback(emitted);
        failures.push(failureOf(index, error));
      }
    }
    call.flush();
    return call.outputs.finish(inbound.count, batch.times, failures);
  }

  /** Runs timers, one by one. */
  onTimers(due: DueTimers): Outbound {
    const batch = new DueBatch(due);
    const timer = new Timer(batch);
    const call = this.#call;
    const failures: Failure[] = [];
    call.begin(batch.keys, due.count);
    for (let index = 0; index < due.count; index++) {
      call.index = index;
      timer.index = index;
      call.firing = { clock: due.clock, time: timer.time };
      const emitted = call.outputs.count;
      try {
        const answer: unknown = this.#spec.onTimer?.(timer, this.#context, this.#own);
        if (answer !== undefined) refuseAsync(answer, 'onTimer');
        call.keep();
      } catch (error) {
        call.rollback(emitted);
        failures.push(failureOf(index, error));
      }
    }
    call.flush();
    return call.outputs.finish(due.count, batch.times, failures);
  }

  /** Answers a question. Throws text, as the contract has it. */
  answer(request: Request): Response {
    return this.#orText(() => this.ask(new Query(request.path, request.parameters)));
  }

  /** Answers a question. Throws what the plugin does. */
  ask(query: Query): Answer {
    const spec = this.#spec;
    if (spec.answer === undefined) throw new TypeError('the plugin has no `answer`');
    const answer: unknown = spec.answer(query, new Reader(this.#call.fixed.host, this.#stores), this.#own);
    if (!(answer instanceof Answer)) {
      refuseAsync(answer, 'answer');
      throw new TypeError('`answer` must return an Answer, such as Answer.json(...)');
    }
    return answer;
  }

  /** Changes what an earlier version has stored. Throws text, as the contract has it. */
  migrate(fromVersion: number): void {
    this.#orText(() => this.change(fromVersion));
  }

  /** Changes what an earlier version has stored. Throws what the plugin does. */
  change(fromVersion: number): void {
    const spec = this.#spec;
    if (spec.migrate === undefined) throw new TypeError('the plugin has no `migrate`');
    const answer: unknown = spec.migrate(fromVersion, new Migration(this.#call.fixed.host, this.#stores), this.#own);
    refuseAsync(answer, 'migrate');
  }

  #orText<T>(run: () => T): T {
    try {
      return run();
    } catch (error) {
      const { code, message, detail } = failureOf(0, error);
      // The message goes to whoever asked; where it happened is for the plugin's author.
      if (detail !== '') this.#call.fixed.host.log.write('error', undefined, detail);
      throw `${code}: ${message}`;
    }
  }
}

function refuseAsync(answer: unknown, method: string): void {
  if (typeof (answer as { then?: unknown } | null)?.then === 'function') {
    throw new TypeError(`${method} must not be async: nothing waits for it`);
  }
}

function validProblem({ pointer, message }: Problem): Problem {
  return { pointer: valid(pointer), message: valid(message) };
}

function envOf(host: Host): Env {
  const define = (
    name: string,
    kind: 'counter' | 'gauge' | 'histogram',
    help: string,
    labels: Labels = {},
    bounds: readonly number[] = [],
  ): Metric => {
    const metric = host.metrics.define(name, kind, help, Object.entries(labels), Float64Array.from(bounds));
    return { update: (value) => host.metrics.update(metric, value) };
  };
  return {
    pipeline: host.context.pipeline(),
    transform: host.context.transform(),
    log: (level, message) => host.log.write(level, undefined, valid(message)),
    counter: (name, help, labels) => define(name, 'counter', help, labels),
    gauge: (name, help, labels) => define(name, 'gauge', help, labels),
    histogram: (name, help, bounds, labels) => define(name, 'histogram', help, labels, bounds),
  };
}

export type { Clock };
