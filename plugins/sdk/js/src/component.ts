// What every component exports: `wasmill build` bundles this file, after those beside it that a plugin
// needs, with `wasmill-plugin` standing for the plugin's own file.

import plugin from 'wasmill-plugin';
import * as context from 'wasmill:plugin/context@0.1.2';
import * as log from 'wasmill:plugin/log@0.1.2';
import * as metrics from 'wasmill:plugin/metrics@0.1.2';
import * as state from 'wasmill:plugin/state@0.1.2';
import * as timers from 'wasmill:plugin/timers@0.1.2';
import type { DueTimers, Inbound, Outbound } from './contract.ts';
import { configured, exported, instance } from './instance.ts';
import { describe, Runtime } from './runtime.ts';

// The host asks what a component exports, so it must be all that the plugin has.
for (const [method, key] of [['answer', 'queries'], ['migrate', 'migrates']] as const) {
  if (plugin.spec[method] !== undefined && !exported.has(method)) {
    throw new TypeError(`the plugin has \`${method}\`: say \`"wasmill": { "${key}": true }\` in package.json`);
  }
}

// A component has no clock: to ask for it would trap. Random numbers would differ on replay.
Math.random = refused('Math.random', 'ctx.seed()');
Date.now = refused('Date.now', 'ctx.now()');
globalThis.Date = new Proxy(Date, {
  apply: refused('Date()', 'ctx.now()'),
  construct(target, args, newTarget): object {
    if (args.length === 0) refused('new Date()', 'new Date(ctx.now())')();
    return Reflect.construct(target, args, newTarget) as object;
  },
});

// A bigint in JSON is a number with all its digits, without a walk through each value before.
const raw = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON;
Object.defineProperty(BigInt.prototype, 'toJSON', {
  value(this: bigint) {
    return raw(`${this}`);
  },
});

function refused(what: string, instead: string): () => never {
  return () => {
    throw new Error(`${what} is not there in a plugin; use ${instead}`);
  };
}

/** The contract's interface of this name. */
export const lifecycle = {
  describe: () => describe(plugin),
  configure(config: string): void {
    const fresh = new Runtime(plugin, { state, stores: instance.stores, timers, log, metrics, context });
    const problems = fresh.configure(config);
    if (problems.length > 0) throw problems;
    instance.runtime = fresh;
  },
};

/** The contract's interface of this name. */
export const processor = {
  process: (batch: Inbound): Outbound => configured().process(batch),
};

/** The contract's interface of this name. */
export const timerHandler = {
  onTimers: (due: DueTimers): Outbound => configured().onTimers(due),
};
