// What the counters of a pipeline did over the last minutes. The API gives totals; rates are differences here.

/** A sample a second for ten minutes. */
const SERIES_MAX = 600;
/** Rates are over so many samples: long enough to be steady, short enough to be now. */
const WINDOW = 6;

export const SERIES = ["read", "written", "delivered", "dead", "lag", "p50", "p99"];

/** A quantile in milliseconds of the times between two histograms; undefined where there were none. */
export function quantile(before, after, share) {
  if (!after?.counts || !after.bounds) return undefined;
  const counts = after.counts.map((n, i) => n - (before?.counts?.[i] ?? 0));
  const total = counts.reduce((sum, n) => sum + n, 0);
  if (total <= 0 || counts.some((n) => n < 0)) return undefined;
  let rank = share * total;
  for (let i = 0; i < counts.length; i += 1) {
    if (rank > counts[i]) {
      rank -= counts[i];
      continue;
    }
    const low = i === 0 ? 0 : after.bounds[i - 1];
    const high = after.bounds[i] ?? low;
    return (low + (high - low) * (counts[i] === 0 ? 0 : rank / counts[i])) * 1000;
  }
  return undefined;
}

function latency(before, after, share) {
  if (!after) return undefined;
  if (after.counts) return quantile(before, after, share);
  return (share === 0.5 ? after.p50_ms : after.p99_ms) ?? undefined;
}

export class History {
  constructor() {
    this.samples = [];
    this.times = [];
    this.series = Object.fromEntries(SERIES.map((name) => [name, []]));
    this.rates = {};
    this.nodes = new Map();
  }

  /** Takes a pipeline as the API shows it; `at` in milliseconds. */
  push(pipeline, at) {
    const last = this.samples.at(-1);
    const isFresh = last && (last.started !== pipeline.started || (pipeline.counters?.records_read ?? 0) < last.counters.records_read);
    // Counters begin anew when a reload starts the pipeline again.
    if (isFresh) this.samples = [];
    this.samples.push({
      at,
      started: pipeline.started,
      counters: pipeline.counters ?? {},
      latency: pipeline.latency?.end_to_end ?? pipeline.latency,
      nodes: new Map((pipeline.nodes ?? []).map((node) => [node.name, node])),
      transforms: new Map((pipeline.transforms ?? []).map((one) => [one.name, one])),
    });
    if (this.samples.length > WINDOW) this.samples.shift();
    this.derive(pipeline);
    this.times.push(at / 1000);
    const { rates } = this;
    const values = { ...rates, lag: pipeline.lag_total };
    for (const name of SERIES) this.series[name].push(values[name] ?? null);
    if (this.times.length > SERIES_MAX) {
      this.times.shift();
      for (const name of SERIES) this.series[name].shift();
    }
  }

  derive(pipeline) {
    const [first, last] = [this.samples[0], this.samples.at(-1)];
    const elapsed = (last.at - first.at) / 1000;
    const per = (before, after) => {
      if (elapsed <= 0 || typeof before !== "number" || typeof after !== "number") return undefined;
      return Math.max(after - before, 0) / elapsed;
    };
    const of = (name) => per(first.counters[name], last.counters[name]);
    this.rates = {
      read: of("records_read"),
      written: of("records_written"),
      ingested: of("records_ingested"),
      delivered: of("records_delivered"),
      dead: of("dead_letters"),
      commits: of("commits"),
      p50: latency(first.latency, last.latency, 0.5),
      p99: latency(first.latency, last.latency, 0.99),
    };
    this.nodes = new Map();
    for (const node of pipeline.nodes ?? []) {
      const before = first.nodes.get(node.name);
      this.nodes.set(node.name, {
        in: per(before?.records_in, node.records_in),
        out: per(before?.records_out, node.records_out),
        errors: per(before?.errors, node.errors),
        p50: latency(before?.latency, node.latency, 0.5),
        p99: latency(before?.latency, node.latency, 0.99),
      });
    }
    for (const one of pipeline.transforms ?? []) {
      const before = first.transforms.get(one.name);
      const node = this.nodes.get(one.name) ?? {};
      node.cpu = per(before?.cpu_seconds, one.cpu_seconds);
      node.in ??= per(before?.records, one.records);
      node.errors ??= per(before?.failed_records, one.failed_records);
      node.p99 ??= one.latency?.counts ? undefined : one.latency?.p99_ms;
      this.nodes.set(one.name, node);
    }
  }
}

/** What goes over an edge, where that can be told: an edge has no counter of its own. */
export function edgeRate(edge, edges, nodes) {
  if (typeof edge.rate === "number") return edge.rate;
  const into = edges.filter((one) => one.to === edge.to);
  const outOf = edges.filter((one) => one.from === edge.from);
  const ports = new Set(outOf.map((one) => one.port ?? ""));
  if (into.length === 1) return nodes.get(edge.to)?.in;
  if (ports.size === 1) return nodes.get(edge.from)?.out;
  return undefined;
}
