/** Whether a program printed what a test expects, as LiveCodeBench decides it: line by line, without the blanks around, numbers exactly. */
import { decimalKey } from './decimal.ts';

/** Null when equal, else what is different. */
export function compareOutput(expected: string, printed: string): string | null {
  const wanted = strippedLines(expected);
  const got = strippedLines(printed);
  if (wanted.length !== got.length) return `${counted(got.length)} instead of ${counted(wanted.length)}: ${shown(printed.trim())}`;
  const different = wanted.findIndex((line, index) => line !== got[index] && !sameNumbers(line, got[index]!));
  if (different < 0) return null;
  const where = wanted.length > 1 ? `line ${different + 1} is ` : '';
  return `${where}${shown(got[different]!)} instead of ${shown(wanted[different]!)}`;
}

/** The beginning of a text, in quotes. */
export function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 79)}…` : text);
}

function strippedLines(text: string): string[] {
  return text
    .trim()
    .split('\n')
    .map((line) => line.trim());
}

function sameNumbers(expected: string, printed: string): boolean {
  const wanted = expected.split(/\s+/).map(decimalKey);
  const got = printed.split(/\s+/).map(decimalKey);
  return wanted.length === got.length && wanted.every((key, index) => key !== null && key === got[index]);
}

function counted(lines: number): string {
  return lines === 1 ? '1 line' : `${lines} lines`;
}
