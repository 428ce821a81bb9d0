/**
 * Two completions side by side: their sentences aligned, and within sentences that differ the words that do. Texts that have little in
 * common are given up in bounded time; what they share at the start, where reasoning parts, is found in any case.
 */
import { diffArrays, diffWordsWithSpace } from 'diff';

export interface TextPiece {
  text: string;
  changed: boolean;
}

/** One line of the pair; a side that has nothing here is null. */
export interface AlignedLine {
  left: TextPiece[] | null;
  right: TextPiece[] | null;
  changed: boolean;
}

export interface AlignedTexts {
  lines: AlignedLine[];
  /** Share of the longer text's characters, in sentences that are the same on both sides. */
  shared: number;
  /** False when the search for an alignment was given up. */
  aligned: boolean;
}

/** Beyond this the alignment is given up; a minute-long freeze would tell nothing more. */
const timeoutMs = 600;
/** Longer sentences are marked whole. */
const wordDiffCharacters = 2000;

export function alignTexts(left: string, right: string): AlignedTexts {
  const [own, other] = [sentencesOf(left), sentencesOf(right)];
  let start = 0;
  while (start < own.length && start < other.length && own[start] === other[start]) start += 1;
  const changes = diffArrays(own.slice(start), other.slice(start), { timeout: timeoutMs });
  const lines = own.slice(0, start).map(equalLine);
  if (changes) {
    for (let index = 0; index < changes.length; index++) {
      const change = changes[index]!;
      const next = changes[index + 1];
      if (!change.added && !change.removed) lines.push(...change.value.map(equalLine));
      else if (change.removed && next?.added) {
        lines.push(...changedLines(change.value, next.value));
        index += 1;
      } else lines.push(...(change.removed ? changedLines(change.value, []) : changedLines([], change.value)));
    }
  } else lines.push(...wholeLines(own.slice(start), other.slice(start)));
  const same = lines.reduce((sum, line) => sum + (line.changed ? 0 : line.left![0]!.text.length), 0);
  const longest = Math.max(lengthOf(own), lengthOf(other));
  return { lines, shared: longest === 0 ? 1 : same / longest, aligned: changes !== undefined };
}

/** Lines, and sentences within them, without the white space around. */
function sentencesOf(text: string): string[] {
  return text
    .split('\n')
    .flatMap((line) => line.split(/(?<=[.!?])\s+/))
    .map((sentence) => sentence.trim())
    .filter((sentence) => sentence !== '');
}

const lengthOf = (sentences: readonly string[]) => sentences.reduce((sum, sentence) => sum + sentence.length, 0);

function equalLine(text: string): AlignedLine {
  const piece = [{ text, changed: false }];
  return { left: piece, right: piece, changed: false };
}

/** Sentence by sentence, in order; what is left over on one side stands alone. */
function changedLines(left: readonly string[], right: readonly string[]): AlignedLine[] {
  return Array.from({ length: Math.max(left.length, right.length) }, (_, index) => changedLine(left[index], right[index]));
}

function changedLine(left: string | undefined, right: string | undefined): AlignedLine {
  if (left === undefined || right === undefined || Math.max(left.length, right.length) > wordDiffCharacters)
    return { left: whole(left), right: whole(right), changed: true };
  const words = diffWordsWithSpace(left, right);
  const side = (skip: 'added' | 'removed') =>
    words.filter((word) => !word[skip]).map(({ value, added, removed }) => ({ text: value, changed: added || removed }));
  return { left: side('added'), right: side('removed'), changed: true };
}

function wholeLines(left: readonly string[], right: readonly string[]): AlignedLine[] {
  return Array.from({ length: Math.max(left.length, right.length) }, (_, index) => ({
    left: whole(left[index]),
    right: whole(right[index]),
    changed: true,
  }));
}

function whole(text: string | undefined): TextPiece[] | null {
  return text === undefined ? null : [{ text, changed: true }];
}
