import type { Failure } from './contract.ts';

/**
 * Thrown to fail one record (or timer) with a code of its own. What the record emitted, stored and
 * set is dropped; the other records are not touched.
 */
export class RecordError extends Error {
  override readonly name = 'RecordError';
  /** A short stable word for metrics, such as `bad-json`. */
  readonly code: string;
  /** A longer explanation; empty for none. */
  readonly detail: string;

  /**
   * @param code A short stable word for metrics, in kebab-case.
   * @param message For people.
   * @param detail A longer explanation.
   */
  constructor(code: string, message: string, detail = '') {
    super(message);
    // Whatever a plugin in plain JavaScript gives: the host takes text.
    this.code = String(code);
    this.detail = String(detail);
  }
}

/** What is wrong in the config table, and where. */
export interface Problem {
  /** A JSON Pointer, `""` for the whole. */
  readonly pointer: string;
  /** For people. */
  readonly message: string;
}

/** Thrown by a plugin's `setup` to refuse its config table. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  /** All that is wrong. */
  readonly problems: readonly Problem[];

  /** @param problems All that is wrong, each with its place. */
  constructor(problems: readonly Problem[]) {
    super(problems.map(({ pointer, message }) => `${pointer}: ${message}`).join('; '));
    this.problems = problems;
  }
}

/** A name as it stands in a JSON Pointer. */
export function pointerTo(name: string | number): string {
  return `/${String(name).replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

/** What the host is told of anything that a plugin threw. */
export function failureOf(index: number, thrown: unknown): Failure {
  try {
    return explained(index, thrown);
  } catch {
    return { index, code: 'error', message: 'what was thrown cannot be read', detail: '' };
  }
}

function explained(index: number, thrown: unknown): Failure {
  if (thrown instanceof RecordError) {
    return { index, code: valid(thrown.code), message: valid(thrown.message), detail: valid(thrown.detail) };
  }
  if (thrown instanceof Error) {
    const what = `${thrown.name}: ${thrown.message}`;
    const detail = thrown.stack ?? '';
    return { index, code: 'error', message: valid(what), detail: valid(detail.startsWith(what) ? detail : `${what}\n${detail}`) };
  }
  return { index, code: 'error', message: valid(String(thrown)), detail: '' };
}

/** Text that is valid Unicode: halves of surrogate pairs become U+FFFD. */
export function valid(text: string): string {
  return text.isWellFormed() ? text : text.toWellFormed();
}
