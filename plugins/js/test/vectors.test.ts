// Runs the plugins on plugins/vectors, natively: the table that all languages must pass. Whole batches and
// one record at a time.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

import { ConfigError, type Plugin } from 'wasmill-sdk';
import { Harness, type Bytes, type Input, type Output } from 'wasmill-sdk/testing';

import enrich from '../enrich/src/index.ts';
import sessions from '../sessions/src/index.ts';
import temperature from '../temperature/src/index.ts';
import wordCount from '../word_count/src/index.ts';
import wordSplit from '../word_split/src/index.ts';

type VectorBytes = string | null | { hex: string } | { json: unknown };

interface VectorOutput {
  parent?: number;
  timer?: string;
  port: string;
  key?: VectorBytes;
  value?: VectorBytes;
  timestamp?: number | null;
  headers?: [string, VectorBytes][];
}

interface Vector {
  name: string;
  config: object;
  lateness_ms?: number;
  problems?: string[];
  stored?: Record<string, Record<string, VectorBytes>>;
  steps?: {
    records: { key?: VectorBytes; value?: VectorBytes; timestamp?: number | null; headers?: [string, VectorBytes][] }[];
    outputs?: VectorOutput[];
    failures?: { index: number; code: string }[];
  }[];
  state?: Record<string, Record<string, VectorBytes>>;
  timers?: { key: string; name: string; time: number; clock?: string }[];
}

const plugins: Record<string, Plugin> = {
  enrich,
  sessions,
  temperature,
  word_count: wordCount,
  word_split: wordSplit,
};

function bytes(given: VectorBytes | undefined): Bytes | null {
  if (given === null || given === undefined || typeof given === 'string') return given ?? null;
  return 'hex' in given ? Buffer.from(given.hex, 'hex') : JSON.stringify(given.json);
}

/** Compares bytes with what a vector says of them. */
function assertBytes(actual: Uint8Array | null, expected: VectorBytes | undefined, what: string): void {
  if (expected !== null && typeof expected === 'object' && 'json' in expected) {
    assert.ok(actual !== null, `${what}: null`);
    assert.deepStrictEqual(canonical(JSON.parse(Buffer.from(actual).toString())), canonical(expected.json), what);
    return;
  }
  const raw = bytes(expected);
  const hex = (value: Bytes | null): string | null => (value === null ? null : Buffer.from(value as string).toString('hex'));
  assert.equal(hex(actual), hex(raw), what);
}

/** JSON whose fields are in no order. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (value === null || typeof value !== 'object') return value;
  return new Map(Object.keys(value).sort().map((name) => [name, canonical((value as Record<string, unknown>)[name])]));
}

function assertOutput(actual: Output, expected: VectorOutput, what: string): void {
  assert.equal(actual.parent, expected.parent, `${what}: parent`);
  assert.equal(actual.timer, expected.timer, `${what}: timer`);
  assert.equal(actual.port, expected.port, `${what}: port`);
  assertBytes(actual.key, expected.key, `${what}: key`);
  assertBytes(actual.value, expected.value, `${what}: value`);
  assert.equal(actual.timestamp, expected.timestamp === undefined ? 0 : expected.timestamp, `${what}: timestamp`);
  const headers = expected.headers ?? [];
  assert.deepEqual(actual.headers.map(([name]) => name), headers.map(([name]) => name), `${what}: headers`);
  headers.forEach(([name, value], i) => assertBytes(actual.headers[i]![1], value, `${what}: header ${name}`));
}

function run(plugin: Plugin, vector: Vector, batch: number): void {
  const options = { config: vector.config, lateness: vector.lateness_ms ?? 0, batch };
  if (vector.problems !== undefined) {
    assert.throws(
      () => new Harness(plugin, options),
      (error) => {
        assert.ok(error instanceof ConfigError);
        assert.deepEqual(error.problems.map(({ pointer }) => pointer).sort(), [...vector.problems!].sort());
        return true;
      },
    );
    return;
  }
  const harness = new Harness(plugin, options);
  for (const [store, entries] of Object.entries(vector.stored ?? {})) {
    for (const [key, value] of Object.entries(entries)) harness.store(store, key, bytes(value)!);
  }
  vector.steps!.forEach((step, number) => {
    const inputs = step.records.map(
      ({ key, value, timestamp = 0, headers = [] }): Input => ({
        key: bytes(key),
        value: bytes(value),
        timestamp,
        headers: headers.map(([name, own]) => [name, bytes(own)] as const),
      }),
    );
    const { outputs, failures } = harness.run(inputs);
    const expected = step.outputs ?? [];
    for (let i = 0; i < Math.min(outputs.length, expected.length); i++) {
      assertOutput(outputs[i]!, expected[i]!, `step ${number}, output ${i}`);
    }
    assert.equal(outputs.length, expected.length, `step ${number}: outputs`);
    assert.deepEqual(failures.map(({ index, code }) => ({ index, code })), step.failures ?? [], `step ${number}: failures`);
  });
  for (const [store, entries] of Object.entries(vector.state ?? {})) {
    const state = harness.state(store);
    assert.deepEqual([...state.keys()].sort(), Object.keys(entries).sort(), `keys of ${store}`);
    for (const [key, value] of Object.entries(entries)) assertBytes(state.get(key)!, value, `${store}: ${key}`);
  }
  const timers = (vector.timers ?? []).map(({ clock = 'event-time', ...timer }) => ({ ...timer, clock }));
  const order = (a: { key: string }, b: { key: string }): number => (a.key < b.key ? -1 : 1);
  assert.deepEqual(harness.timers.sort(order), timers.sort(order), 'timers');
}

for (const [name, plugin] of Object.entries(plugins)) {
  const file = new URL(`../../vectors/${name}.json`, import.meta.url);
  if (!existsSync(file)) {
    test(`vectors of ${name}`, { skip: 'plugins/vectors has none' }, () => {});
    continue;
  }
  for (const vector of JSON.parse(readFileSync(file, 'utf8')) as Vector[]) {
    test(`${name}: ${vector.name}`, () => {
      for (const batch of [Infinity, 1, 3]) run(plugin, vector, batch);
    });
  }
}
