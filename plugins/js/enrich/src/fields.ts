// A JSON object whose values stay as they were written: numbers keep all their digits.

import { parseJson, RecordError } from 'wasmill-sdk';

// A text, a bracket, a separator, or what is between them.
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\]:,]|[^"{}[\]:,\s]+/g;

/** The text of a JSON object with these fields, in place where they are, else added. Throws `bad-json`. */
export function withFields(text: string, fields: ReadonlyMap<string, string>): string {
  const object = parseJson(text);
  if (object === null || typeof object !== 'object' || Array.isArray(object)) {
    throw new RecordError('bad-json', 'the value is no JSON object');
  }
  let replaced = text;
  const missing: string[] = [];
  const present = new Map<string, string>();
  for (const [name, value] of fields) {
    if (Object.hasOwn(object, name)) present.set(name, value);
    else missing.push(`${JSON.stringify(name)}:${value}`);
  }
  if (present.size > 0) replaced = replace(text, present);
  if (missing.length === 0) return replaced;
  const end = replaced.lastIndexOf('}');
  const comma = Object.keys(object).length > 0 ? ',' : '';
  return `${replaced.slice(0, end)}${comma}${missing.join(',')}}`;
}

/** Replaces the values of fields at the top. The text is known to be an object. */
function replace(text: string, fields: ReadonlyMap<string, string>): string {
  let result = '';
  let copied = 0;
  let depth = 0;
  // The name whose value begins next, and where a value that is replaced began.
  let name: string | undefined;
  let last: RegExpExecArray | undefined;
  let began: number | undefined;
  for (const token of text.matchAll(TOKEN)) {
    const [word] = token;
    if (depth === 1 && (word === ',' || word === '}')) {
      if (began !== undefined && name !== undefined) {
        result += text.slice(copied, began) + fields.get(name);
        copied = token.index;
      }
      name = began = undefined;
    }
    if (word === '{' || word === '[') depth++;
    else if (word === '}' || word === ']') depth--;
    else if (word === ':' && depth === 1 && last !== undefined) {
      const own = JSON.parse(last[0]) as string;
      if (fields.has(own)) {
        name = own;
        began = token.index + 1;
      }
    }
    last = token;
  }
  return result + text.slice(copied);
}
