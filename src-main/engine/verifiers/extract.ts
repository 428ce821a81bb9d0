/**
 * Takes the answer out of a completion by Math-Verify's priorities: the last `\boxed{…}`, then "final answer is", "answer is"
 * and "answer:", then the last LaTeX fraction or number. Within a priority the rightmost match counts.
 */
import { lastBoxed } from './boxed.ts';

export interface ExtractedAnswer {
  text: string;
  source: 'boxed' | 'phrase' | 'number';
}

const finalPhrase = /\bfinal\s{1,3}answer\*{0,2}\s{0,3}(?:is|:)/gi;
const answerPhrase = /\banswer\*{0,2}\s{0,3}(?:is|:)/gi;
const number =
  /(?:-\s?)?\\[dtc]?frac\s?(?:\d\d|\{-?\d{1,400}\}\s?\{-?\d{1,400}\})|(?:(?<![\w.)}])-)?(?:\\?\$\s?)?\d[\d,]*(?:\.\d+)?(?:\s?\/\s?\d+)?(?:\\?%)?/g;
const phraseReach = 300;

/** The answer's text, or null when the completion has none. */
export function extractAnswer(completion: string): ExtractedAnswer | null {
  const boxed = lastBoxed(completion);
  if (boxed !== null) return { text: boxed, source: 'boxed' };
  for (const phrase of [finalPhrase, answerPhrase]) {
    const end = lastMatchEnd(completion, phrase);
    const text = end === null ? null : answerAfter(completion.slice(end, end + phraseReach));
    if (text !== null) return { text, source: 'phrase' };
  }
  const text = lastMatch(completion, number);
  return text === null ? null : { text: text.replace(/,+$/, ''), source: 'number' };
}

/** What follows an answer phrase: its formula if it begins with one, its first number, or the rest of the line. */
function answerAfter(rest: string): string | null {
  const line = (/^[\s:*]*([^\n]*)/.exec(rest)?.[1] ?? '').trim();
  if (line === '') return null;
  const formula = /^(?:\$\$?([^$]+)\$\$?|\\\((.+?)\\\)|\\\[(.+?)\\\])/.exec(line);
  if (formula) return (formula[1] ?? formula[2] ?? formula[3] ?? '').trim() || null;
  const first = new RegExp(number.source).exec(line);
  if (first) return first[0].replace(/,+$/, '');
  return line.replace(/[\s.*]+$/, '') || null;
}

function lastMatchEnd(text: string, pattern: RegExp): number | null {
  let end: number | null = null;
  for (const match of text.matchAll(pattern)) end = match.index + match[0].length;
  return end;
}

function lastMatch(text: string, pattern: RegExp): string | null {
  let last: string | null = null;
  for (const match of text.matchAll(pattern)) last = match[0];
  return last;
}
