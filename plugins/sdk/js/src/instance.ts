// What the parts of a component share. Each part is there when the component exports what is in it.

import type { Host } from './contract.ts';
import type { Runtime } from './runtime.ts';

/** The component's one instance of the plugin. */
export const instance: {
  /** Once it is configured. */
  runtime: Runtime | undefined;
  /** The interface of this name, where the component imports it. */
  stores: Host['stores'];
} = { runtime: undefined, stores: undefined };

/** The handlers that the component exports, by the plugin's methods. */
export const exported = new Set<'answer' | 'migrate'>();

/** The plugin, once it is configured. */
export function configured(): Runtime {
  if (instance.runtime === undefined) throw 'the plugin was not configured';
  return instance.runtime;
}
