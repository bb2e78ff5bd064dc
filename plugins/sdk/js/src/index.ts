/**
 * Write Wasmill plugins in TypeScript or JavaScript: one function per record, typed state, errors by
 * `throw`.
 *
 * @packageDocumentation
 */

export { INHERIT, type Context, type EmitOptions, type Value } from './context.ts';
export type { Clock, Level } from './contract.ts';
export { textOf } from './codec.ts';
export { ConfigError, pointerTo, RecordError, type Problem } from './errors.ts';

export { bytes, f64, f64s, json, s64, u64, utf8, type Format, type Numbers } from './formats.ts';
export { numberToJson, parseJson, toJson, type Json } from './json.ts';
export type { MigratedStore, MigratedStores, Migration } from './migration.ts';
export type { HeaderInput } from './outputs.ts';
export { definePlugin, type Env, type Metric, type Plugin, type PluginSpec, type PortSpec, type PortSpecs } from './plugin.ts';
export { Answer, type Query, type ReadableStore, type ReadableStores, type Reader, type Scanned, type ScanOptions } from './query.ts';
export type { Header, Origin, Record, Timer } from './record.ts';
export { anyJson, array, boolean, integer, number, object, oneOf, optional, string, table, tuple, type Infer, type ObjectOf, type Shape } from './shape.ts';
export { keyed, shared, type KeyedStore, type SharedStore, type StoreSpec, type StoreSpecs, type Stores } from './stores.ts';
