// Generated from wit/plugin.wit by `npm run bindings`. Do not edit.

declare module 'wasmill:plugin/context@0.1.2' {
  /**
   * The pipeline's name.
   */
  export function pipeline(): string;
  /**
   * The transform's name in the pipeline.
   */
  export function transform(): string;
  /**
   * Wall clock, standing still during a call. NOT the same on replay.
   */
  export function now(): bigint;
  /**
   * The largest event time this task has seen up to this record, it included. Same on replay.
   */
  export function streamTime(index: number): bigint;
  /**
   * The stream time less the lateness that the pipeline allows, at least -1. Event-time timers up
   * to it have fired, or are just about to. Same on replay.
   */
  export function watermark(index: number): bigint;
  /**
   * A seed for random numbers, from transform, origin and place among siblings, or from the
   * timer. Same on replay.
   */
  export function seed(index: number): bigint;
}

declare module 'wasmill:plugin/lifecycle@0.1.2' {
  /**
   * Always the same. Runs in an instance of its own, where only `log` may be called.
   */
  export function describe(): Description;
  /**
   * Once per instance, before its first batch: the transform's config table as a JSON object.
   * May call `log`, `metrics`, `context.pipeline` and `context.transform`.
   */
  export function configure(config: string): void;
  /**
   * A port: where outputs leave.
   */
  export interface Port {
    /**
     * Kebab-case.
     */
    name: string,
    /**
     * One sentence for people.
     */
    doc: string,
    /**
     * May give other keys than the parent's; keyed state downstream costs a repartition.
     */
    rekeys: boolean,
  }
  /**
   * A store that the plugin uses.
   */
  export interface Store {
    /**
     * Kebab-case.
     */
    name: string,
    /**
     * One sentence for people.
     */
    doc: string,
    /**
     * Read-only; the pipeline says which of its tables this is.
     */
    table: boolean,
    /**
     * Used under the key of the record at hand only: the host may check it and fetch ahead.
     */
    keyed: boolean,
    /**
     * For people and other languages: `bytes`, `utf8`, `json`, `s64-le`, `u64-le`, `f64-le`.
     */
    keyFormat: string,
    /**
     * As `key-format`.
     */
    valueFormat: string,
  }
  /**
   * What the plugin says of itself.
   */
  export interface Description {
    /**
     * Kebab-case or snake_case.
     */
    name: string,
    /**
     * The plugin's own version.
     */
    version: string,
    /**
     * One sentence for people.
     */
    doc: string,
    /**
     * Raised when what is stored changes its meaning.
     */
    stateVersion: number,
    /**
     * Kebab-case, at most 256. Empty: one input without a name.
     */
    inputs: Array<string>,
    /**
     * At least one, at most 256; the first is the default.
     */
    ports: Array<Port>,
    /**
     * At most 256, in the order of the numbers by which `state` knows them.
     */
    stores: Array<Store>,
    /**
     * It sets timers, so it exports `timer-handler`, and its input must be partitioned by key.
     */
    setsTimers: boolean,
    /**
     * Headers are to be handed over.
     */
    readsHeaders: boolean,
    /**
     * Origins are to be handed over.
     */
    readsOrigins: boolean,
    /**
     * JSON Schema of the config table, for `wasmill validate` and editors; empty for none.
     */
    configSchema: string,
    /**
     * Needs that later versions define. A host refuses a name that it does not know.
     */
    extra: Array<[string, string]>,
  }
  /**
   * What is wrong in the config, and where.
   */
  export interface Problem {
    /**
     * A JSON Pointer, "" for the whole.
     */
    pointer: string,
    /**
     * For people.
     */
    message: string,
  }
}

declare module 'wasmill:plugin/log@0.1.2' {
  /**
   * The lowest level that is kept. Ask once per call.
   */
  export function threshold(): Level;
  /**
   * `index`: the record concerned. What exceeds the host's rate is counted and dropped.
   */
  export function write(level: Level, index: number | undefined, message: string): void;
  /**
   * How important a message is.
   * # Variants
   * 
   * ## `"trace"`
   * 
   * Every step.
   * ## `"debug"`
   * 
   * For whoever mends the plugin.
   * ## `"info"`
   * 
   * Good to know.
   * ## `"warn"`
   * 
   * Somebody should look.
   * ## `"error"`
   * 
   * Something failed. After a trap the last one of the call is shown as its cause, so a
   * language's panic handler writes its message here.
   */
  export type Level = 'trace' | 'debug' | 'info' | 'warn' | 'error';
}

declare module 'wasmill:plugin/metrics@0.1.2' {
  /**
   * A number for `update`; the same for the same name and labels. `bounds`: the upper bounds of
   * a histogram's buckets, rising; empty for the other kinds.
   */
  export function define(name: string, kind: Kind, help: string, labels: Array<[string, string]>, bounds: Float64Array): number;
  /**
   * Adds to a counter, sets a gauge, observes in a histogram. Undone with its call.
   */
  export function update(metric: number, value: number): void;
  /**
   * What a metric measures.
   * # Variants
   * 
   * ## `"counter"`
   * 
   * A sum that only grows.
   * ## `"gauge"`
   * 
   * A value that goes up and down.
   * ## `"histogram"`
   * 
   * How values are distributed.
   */
  export type Kind = 'counter' | 'gauge' | 'histogram';
}

declare module 'wasmill:plugin/migration-handler@0.1.2' {
  /**
   * Called once per partition whose stores were written with a smaller `description.state-version`, before
   * its first record: with `state` to read and write all of them; timers trap. What it writes is committed together with the
   * new state version, whole; before that it may be called again, on the stores as they were. An error
   * or a trap leaves them as they were, and the partition stands still.
   */
  export function migrate(fromVersion: number): void;
}

/// <reference path="./wasmill-plugin-types.d.ts" />
declare module 'wasmill:plugin/processor@0.1.2' {
  /**
   * Runs a batch. An error fails the whole call: it is undone as after a trap, and the instance
   * recycled. One bad record is better told in `outbound.failures`.
   */
  export function process(batch: Inbound): Outbound;
  export type Inbound = import('wasmill:plugin/types@0.1.2').Inbound;
  export type Outbound = import('wasmill:plugin/types@0.1.2').Outbound;
}

declare module 'wasmill:plugin/query-handler@0.1.2' {
  /**
   * Answers. An error is the plugin's fault (502), and so is a trap; what the one who asks did wrong is a
   * response with a status of its own.
   */
  export function answer(request: Request): Response;
  /**
   * What is asked: GET /v1/pipelines/PIPELINE/query/TRANSFORM/...
   */
  export interface Request {
    /**
     * The path after the transform's name, decoded: `recommendations/7` is `recommendations`, `7`.
     */
    path: Array<string>,
    /**
     * The parameters behind `?`, decoded, in their order.
     */
    parameters: Array<[string, string]>,
  }
  /**
   * What is answered.
   */
  export interface Response {
    /**
     * The HTTP status, 200 to 599.
     */
    status: number,
    /**
     * The media type of the body, such as `application/json`.
     */
    contentType: string,
    /**
     * Any bytes.
     */
    body: Uint8Array,
  }
}

/// <reference path="./wasmill-plugin-types.d.ts" />
declare module 'wasmill:plugin/state@0.1.2' {
  /**
   * The value of a key; nothing when there is none.
   */
  export function get(store: number, key: Uint8Array): Uint8Array | undefined;
  /**
   * Sets the value of a key.
   */
  export function put(store: number, key: Uint8Array, value: Uint8Array): void;
  /**
   * Removes a key.
   */
  export function remove(store: number, key: Uint8Array): void;
  /**
   * Entries whose key starts with `prefix` and comes after `after`, by unsigned bytes: at most
   * `limit`, and fewer when the host caps them, so go by `more`.
   */
  export function scan(store: number, prefix: Uint8Array, after: Uint8Array | undefined, limit: number): Page;
  /**
   * One entry per key, null where there is none.
   */
  export function getMany(store: number, keys: Column): Column;
  /**
   * One value per key, null removes; in order, so the last of a repeated key wins.
   */
  export function putMany(store: number, keys: Column, values: Column): void;
  /**
   * A point within this call that `rollback` can return to.
   */
  export function savepoint(): bigint;
  /**
   * Undoes all that was stored since a savepoint of this call.
   */
  export function rollback(to: bigint): void;
  export type Column = import('wasmill:plugin/types@0.1.2').Column;
  /**
   * Some entries of a store.
   */
  export interface Page {
    /**
     * By rising unsigned bytes.
     */
    keys: Column,
    /**
     * One per key.
     */
    values: Column,
    /**
     * There are entries after the last key.
     */
    more: boolean,
  }
}

/// <reference path="./wasmill-plugin-state.d.ts" />
/// <reference path="./wasmill-plugin-types.d.ts" />
declare module 'wasmill:plugin/stores@0.1.2' {
  /**
   * The value of a key; nothing when there is none. Of the first partition that has one.
   */
  export function get(transform: string, store: string, key: Uint8Array): Uint8Array | undefined;
  /**
   * One entry per key, null where there is none.
   */
  export function getMany(transform: string, store: string, keys: Column): Column;
  /**
   * As `state.scan`. A key that several partitions have comes once for each, always in one page.
   */
  export function scan(transform: string, store: string, prefix: Uint8Array, after: Uint8Array | undefined, limit: number): Page;
  export type Column = import('wasmill:plugin/types@0.1.2').Column;
  export type Page = import('wasmill:plugin/state@0.1.2').Page;
}

/// <reference path="./wasmill-plugin-types.d.ts" />
declare module 'wasmill:plugin/timer-handler@0.1.2' {
  /**
   * Runs timers that are due; they are no longer set. An error is as one of `process`.
   */
  export function onTimers(due: DueTimers): Outbound;
  export type DueTimers = import('wasmill:plugin/types@0.1.2').DueTimers;
  export type Outbound = import('wasmill:plugin/types@0.1.2').Outbound;
}

/// <reference path="./wasmill-plugin-types.d.ts" />
declare module 'wasmill:plugin/timers@0.1.2' {
  /**
   * The time for which a timer is set; nothing when it is not.
   */
  export function get(clock: Clock, key: Uint8Array, name: string): bigint | undefined;
  /**
   * Sets a timer, in place of the one of the same key and name. The time is not negative.
   */
  export function set(clock: Clock, key: Uint8Array, name: string, time: bigint): void;
  /**
   * Takes a timer back.
   */
  export function cancel(clock: Clock, key: Uint8Array, name: string): void;
  /**
   * Sets one timer per key, a negative time cancels; in order, so the last of a repeated key and
   * name wins. Each change has to be there, in the order in which the plugin made them: one that was
   * due before a later one took it back has fired.
   */
  export function setMany(clock: Clock, keys: Column, names: Column, times: BigInt64Array): void;
  export type Clock = import('wasmill:plugin/types@0.1.2').Clock;
  export type Column = import('wasmill:plugin/types@0.1.2').Column;
}

declare module 'wasmill:plugin/types@0.1.2' {
  /**
   * n byte strings, laid end to end; any bytes, not only UTF-8. A column is *left out* when all
   * three lists are empty though n is not 0; the field that holds it says what that means.
   */
  export interface Column {
    /**
     * The bytes of all entries.
     */
    data: Uint8Array,
    /**
     * Where each entry ends in `data`: n numbers, never falling, the last one its length.
     */
    ends: Uint32Array,
    /**
     * Empty: all 0. Else n marks: 0 the bytes are the entry; 1 null (no key, a tombstone, not
     * found, remove); 2 inherited (outputs only). Entries marked 1 or 2 have no bytes.
     */
    marks: Uint8Array,
  }
  /**
   * The headers of n records. Left out when all lists are empty.
   */
  export interface Headers {
    /**
     * Where each record's headers end in `names` and `values`: n numbers, never falling.
     */
    ends: Uint32Array,
    /**
     * UTF-8, never null; a record may have the same name more than once.
     */
    names: Column,
    /**
     * One per name: any bytes, or null.
     */
    values: Column,
    /**
     * Outputs only. Empty: all 0. Else n marks: 0 they join the inherited headers, in place of
     * those of the same name; 1 they replace all inherited ones.
     */
    marks: Uint8Array,
  }
  /**
   * Which source record each record comes from in the end: the topic, partition and offset at
   * which it entered the pipeline. Left out when all lists are empty.
   */
  export interface Origins {
    /**
     * The topics that occur in this batch.
     */
    topics: Array<string>,
    /**
     * For each record its place in `topics`. Empty: all 0.
     */
    topicIndexes: Uint16Array,
    /**
     * For each record the partition of its source record. Empty: all the batch's partition.
     */
    partitions: Uint32Array,
    /**
     * For each record the offset of its source record.
     */
    offsets: BigInt64Array,
  }
  /**
   * Records of one task, in order; at least one.
   */
  export interface Inbound {
    /**
     * How many records there are.
     */
    count: number,
    /**
     * The task's partition. One instance serves several: its memory must not mix them.
     */
    partition: number,
    /**
     * Left out: all null.
     */
    keys: Column,
    /**
     * Left out: all null.
     */
    values: Column,
    /**
     * Milliseconds since 1970 UTC, as all times here; one per record, -1 for none.
     */
    timestamps: BigInt64Array,
    /**
     * For each record its place in `description.inputs`. Empty: all 0.
     */
    inputs: Uint8Array,
    /**
     * Left out unless the description says `reads-headers`, or when no record has any.
     */
    headers: Headers,
    /**
     * Left out unless the description says `reads-origins`.
     */
    origins: Origins,
  }
  /**
   * Which time a timer waits for.
   * # Variants
   * 
   * ## `"event-time"`
   * 
   * The watermark: the largest event time that the task has seen, less the lateness that the
   * pipeline allows. The same on replay.
   * ## `"wall-clock"`
   * 
   * The clock on the wall.
   */
  export type Clock = 'event-time' | 'wall-clock';
  /**
   * Timers of one task that are due, each once, in the order of their times, then keys, then
   * names; at least one. Their outputs name a timer as parent, and inherit its key and its time;
   * there is no value and there are no headers to inherit.
   */
  export interface DueTimers {
    /**
     * How many timers there are.
     */
    count: number,
    /**
     * The task's partition.
     */
    partition: number,
    /**
     * The clock of all of them.
     */
    clock: Clock,
    /**
     * The keys for which they were set. Never null.
     */
    keys: Column,
    /**
     * Their names. UTF-8, never null.
     */
    names: Column,
    /**
     * The times for which they were set, one per timer.
     */
    times: BigInt64Array,
  }
  /**
   * Why one record (or timer) of a call failed. The others are not touched by it.
   */
  export interface Failure {
    /**
     * The index of the record in the batch, or of the timer.
     */
    index: number,
    /**
     * A short stable word for metrics, such as `bad-json`.
     */
    code: string,
    /**
     * For people.
     */
    message: string,
    /**
     * A stack trace or the like; may be empty.
     */
    detail: string,
  }
  /**
   * Outputs, in the order of their parents and, within one parent, of emission over all ports.
   */
  export interface Outbound {
    /**
     * How many outputs there are.
     */
    count: number,
    /**
     * For each output the index of the record that caused it, never falling. Empty: output i
     * comes from record i, and `count` is the batch's or 0.
     */
    parents: Uint32Array,
    /**
     * For each output its place in `description.ports`. Empty: all 0.
     */
    ports: Uint8Array,
    /**
     * Left out: all inherited. Only a port that `rekeys` may give keys that differ.
     */
    keys: Column,
    /**
     * Left out: all inherited.
     */
    values: Column,
    /**
     * One per output. Empty: all inherited.
     */
    timestamps: BigInt64Array,
    /**
     * Left out: all inherited.
     */
    headers: Headers,
    /**
     * By rising index. The host drops the outputs of these records; the plugin has held back or
     * rolled back their state.
     */
    failures: Array<Failure>,
  }
}
