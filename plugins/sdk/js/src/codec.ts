// Bytes and text. QuickJS has no TextDecoder, and a loop over bytes costs it 30 ns each, so all is done
// by its native functions: base64 there and back is the fastest way between bytes and a string.

/** A string whose characters are bytes (0 to 255): cheap to cut, compare and use as a key of a `Map`. */
export type Binary = string;

interface NativeBytes {
  toBase64?(): string;
}
interface NativeBase64 {
  fromBase64?(text: string): Uint8Array;
}

const ASCII = /^[\x00-\x7f]*$/;
const CHUNK = 4096;

/** The bytes as a string of bytes. */
export function toBinary(bytes: Uint8Array): Binary {
  const native = bytes as Uint8Array & NativeBytes;
  if (native.toBase64 !== undefined) return atob(native.toBase64());
  let binary = '';
  for (let i = 0; i < bytes.length; i += CHUNK) {
    binary += String.fromCharCode.apply(null, bytes.subarray(i, i + CHUNK) as unknown as number[]);
  }
  return binary;
}

/** The bytes of a string of bytes. */
export function fromBinary(binary: Binary): Uint8Array {
  const native = Uint8Array as typeof Uint8Array & NativeBase64;
  if (native.fromBase64 !== undefined) return native.fromBase64(btoa(binary));
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** Whether a string, of bytes or of text, has ASCII characters only. */
export function isAscii(text: string): boolean {
  return ASCII.test(text);
}

/** Whether all bytes are ASCII. */
export function bytesAreAscii(bytes: Uint8Array): boolean {
  // Four at a time: the bindings hand over arrays that begin at a multiple of 4.
  const words = bytes.byteOffset % 4 === 0 ? bytes.length >> 2 : 0;
  const view = words > 0 ? new Int32Array(bytes.buffer, bytes.byteOffset, words) : undefined;
  let all = 0;
  let i = 0;
  if (view !== undefined) {
    for (const end = words - 7; i < end; i += 8) {
      all |= view[i]! | view[i + 1]! | view[i + 2]! | view[i + 3]! | view[i + 4]! | view[i + 5]! | view[i + 6]! | view[i + 7]!;
    }
    for (; i < words; i++) all |= view[i]!;
  }
  for (i = words * 4; i < bytes.length; i++) all |= bytes[i]!;
  return (all & 0x80808080) === 0;
}

/** The text of UTF-8 bytes; `undefined` when they are none. A byte order mark is kept. */
export function decode(binary: Binary): string | undefined {
  if (ASCII.test(binary)) return binary;
  try {
    // Strict: overlong forms, surrogates and what is above U+10FFFF are refused.
    return decodeURIComponent(escape(binary));
  } catch {
    return undefined;
  }
}

/** The text of UTF-8 bytes; `undefined` when they are none. */
export function textOf(bytes: Uint8Array): string | undefined {
  return decode(toBinary(bytes));
}

/** The UTF-8 bytes of a text. Halves of surrogate pairs become U+FFFD. */
export function encode(text: string): Binary {
  if (ASCII.test(text)) return text;
  return unescape(encodeURIComponent(text.toWellFormed()));
}

/** The bytes of an ASCII text; `undefined` when it is none. */
export function asciiBytes(text: string): Uint8Array | undefined {
  let bytes;
  try {
    bytes = fromLatin1(text);
  } catch {
    return undefined; // A character above U+00FF.
  }
  return bytes !== undefined && bytesAreAscii(bytes) ? bytes : undefined;
}

function fromLatin1(text: string): Uint8Array | undefined {
  const native = Uint8Array as typeof Uint8Array & NativeBase64;
  if (native.fromBase64 !== undefined) return native.fromBase64(btoa(text));
  return ASCII.test(text) ? fromBinary(text) : undefined;
}
