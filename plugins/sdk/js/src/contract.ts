/// <reference path="./wasmill-plugin.d.ts" />
// The contract's shapes and the host's functions, by the bindings that are generated from wit/plugin.wit.

export type { Clock, Column, DueTimers, Failure, Headers, Inbound, Outbound } from 'wasmill:plugin/types@0.1.2';
export type { Description } from 'wasmill:plugin/lifecycle@0.1.2';
export type { Page } from 'wasmill:plugin/state@0.1.2';
export type { Request, Response } from 'wasmill:plugin/query-handler@0.1.2';
export type { Level } from 'wasmill:plugin/log@0.1.2';

/** What the host offers: its functions in a component, played by maps in `wasmill-sdk/testing`. */
export interface Host {
  readonly state: Pick<typeof import('wasmill:plugin/state@0.1.2'), 'get' | 'getMany' | 'putMany' | 'scan'>;
  /** For queries only. */
  readonly stores: typeof import('wasmill:plugin/stores@0.1.2') | undefined;
  readonly timers: Pick<typeof import('wasmill:plugin/timers@0.1.2'), 'get' | 'setMany'>;
  readonly log: typeof import('wasmill:plugin/log@0.1.2');
  readonly metrics: typeof import('wasmill:plugin/metrics@0.1.2');
  readonly context: typeof import('wasmill:plugin/context@0.1.2');
}
