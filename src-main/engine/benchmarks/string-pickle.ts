/**
 * Reads a Python pickle that holds one text and nothing else. A pickle is a program for a stack machine that may call anything in Python;
 * of its operations only those that push a text, remember it, and stop are known here, and every other one is refused by name.
 */
import { RoundoffError } from '#contract/errors.ts';

interface Reader {
  bytes: Buffer;
  at: number;
  place: string;
}

/** The text pickled with protocol 1 to 5. Throws `dataset-invalid` for any other pickle, without running any of it. */
export function readStringPickle(bytes: Buffer, place: string): string {
  const reader: Reader = { bytes, at: 0, place };
  let text: string | null = null;
  for (;;) {
    const at = reader.at;
    const code = take(reader, 1)[0]!;
    const size = textSizes[code];
    if (size !== undefined) {
      if (text !== null) throw refused(reader, 'holds more than one text');
      text = utf8(reader, take(reader, Number(unsigned(take(reader, size)))));
    } else if (code === stop) {
      if (text === null) throw refused(reader, 'holds no text');
      if (reader.at < bytes.length) throw refused(reader, 'goes on after its end');
      return text;
    } else {
      const skipped = skippedOperations[code];
      if (skipped === undefined) throw refused(reader, `has the operation ${operationName(code)} at byte ${at}`);
      take(reader, skipped);
    }
  }
}

const stop = 0x2e;
/** Operations that push a text → bytes of the length before it: BINUNICODE, SHORT_BINUNICODE, BINUNICODE8. */
const textSizes: Record<number, number> = { 88: 4, 140: 1, 141: 8 };
/** Operations that change nothing for a lone text → bytes of their argument: PROTO, FRAME, MEMOIZE, BINPUT, LONG_BINPUT. */
const skippedOperations: Record<number, number> = { 128: 1, 149: 8, 148: 0, 113: 1, 114: 4 };
/** The operations that can call or import, by the names Python gives them. */
const knownNames: Record<number, string> = {
  99: 'GLOBAL',
  147: 'STACK_GLOBAL',
  82: 'REDUCE',
  98: 'BUILD',
  105: 'INST',
  111: 'OBJ',
  129: 'NEWOBJ',
  146: 'NEWOBJ_EX',
  130: 'EXT1',
  131: 'EXT2',
  132: 'EXT4',
  80: 'PERSID',
  81: 'BINPERSID',
};

function operationName(code: number): string {
  return knownNames[code] ?? `0x${code.toString(16).padStart(2, '0')}`;
}

function take(reader: Reader, count: number): Buffer {
  const end = reader.at + count;
  if (end > reader.bytes.length) throw refused(reader, 'ends early');
  const part = reader.bytes.subarray(reader.at, end);
  reader.at = end;
  return part;
}

function unsigned(bytes: Buffer): bigint {
  let value = 0n;
  for (let at = bytes.length - 1; at >= 0; at--) value = value * 256n + BigInt(bytes[at]!);
  return value;
}

function utf8(reader: Reader, bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw refused(reader, 'holds a text that is no UTF-8');
  }
}

function refused({ place }: Reader, message: string): RoundoffError {
  return new RoundoffError(
    'dataset-invalid',
    `${place}: the pickle ${message}.`,
    'Only a pickle of one text is read, as LiveCodeBench publishes its tests; get the file from its publisher again.',
  );
}
