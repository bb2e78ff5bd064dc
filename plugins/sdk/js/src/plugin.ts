// What an author writes.

import type { Level } from './contract.ts';
import type { Context } from './context.ts';
import type { Migration } from './migration.ts';
import type { Answer, Query, Reader } from './query.ts';
import type { Record, Timer } from './record.ts';
import type { Shape } from './shape.ts';
import type { StoreSpecs } from './stores.ts';

/** A port: where outputs leave. */
export interface PortSpec {
  /** One sentence for people. */
  readonly doc?: string;
  /** Outputs may have other keys than their records; keyed state downstream costs a repartition. */
  readonly rekeys?: boolean;
}

/** Declared ports by name. */
export type PortSpecs = { readonly [name: string]: PortSpec };

/** A metric of the plugin's own. */
export interface Metric {
  /** Adds to a counter, sets a gauge, observes in a histogram. Undone with its call. */
  update(value: number): void;
}

/** What `setup` may do. */
export interface Env {
  /** The pipeline's name. */
  readonly pipeline: string;
  /** The transform's name in the pipeline. */
  readonly transform: string;
  /** Writes to the pipeline's log. */
  log(level: Level, message: string): void;
  /** A sum that only grows. The name is snake_case and ends in `_total`. */
  counter(name: string, help: string, labels?: { readonly [name: string]: string }): Metric;
  /** A value that goes up and down. */
  gauge(name: string, help: string, labels?: { readonly [name: string]: string }): Metric;
  /** How values are distributed over buckets with these upper bounds, rising. */
  histogram(name: string, help: string, bounds: readonly number[], labels?: { readonly [name: string]: string }): Metric;
}

/** The parts of a plugin that every plugin has. */
export interface PluginSpec<S extends StoreSpecs, P extends PortSpecs, C, I> {
  /** snake_case or kebab-case. */
  readonly name: string;
  /** The plugin's own version. */
  readonly version: string;
  /** One sentence for people. */
  readonly doc?: string;
  /** Ports by name, in kebab-case; the first is the default. Without any there is one, `out`. */
  readonly ports?: P;
  /** Stores by name, in kebab-case. New ones go to the end. */
  readonly stores?: S;
  /** Raised when what is stored changes its meaning. */
  readonly stateVersion?: number;
  /** Inputs by name, in kebab-case, for a plugin with more than one. */
  readonly inputs?: readonly string[];
  /** Records come with their headers. */
  readonly readsHeaders?: boolean;
  /** Records come with their origins. */
  readonly readsOrigins?: boolean;
  /** What the config table must look like. Without it the plugin has no options and refuses any. */
  readonly config?: Shape<C>;
  /**
   * Called once per instance, before its first record. What it answers is the last argument of `process`
   * and `onTimer`; without it that is the config. Throws `ConfigError` to refuse the config.
   *
   * Keep in it only what comes from the config: memory is not restored after a failure, stores are.
   */
  setup?(config: C, env: Env): I;
  /** Runs one record. An exception fails this record alone. */
  process(record: Record, ctx: Context<S, keyof P & string>, own: I): void;
  /** Runs one timer that is due. A plugin with it sets timers. */
  onTimer?(timer: Timer, ctx: Context<S, keyof P & string>, own: I): void;
  /**
   * Answers one question, in an instance that gets no records. A plugin with it says
   * `"wasmill": { "queries": true }` in its package.json. What the one who asks did wrong is an answer, such as
   * `Answer.notFound`; after an exception they are told that the plugin failed (502).
   */
  answer?(query: Query, reader: Reader<S>, own: I): Answer;
  /**
   * Changes the stores of one partition, which an earlier `stateVersion` has written. A plugin with it says
   * `"wasmill": { "migrates": true }` in its package.json. Called before the partition's first record; what is
   * stored is committed with the new version, or not at all, and then it is called again. After an exception
   * nothing of it counts, and the partition stands still.
   */
  migrate?(fromVersion: number, state: Migration<S>, own: I): void;
}

/** A plugin, as `definePlugin` answers it. */
export interface Plugin {
  /** @internal */
  readonly spec: PluginSpec<any, any, any, any>;
}

/** Makes a plugin of its parts: `export default definePlugin({ ... })`. */
export function definePlugin<
  const S extends StoreSpecs = {},
  const P extends PortSpecs = {},
  C = {},
  I = C,
>(spec: PluginSpec<S, P, C, I>): Plugin {
  return { spec };
}
