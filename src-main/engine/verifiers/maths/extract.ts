/**
 * Takes the answer out of a completion by Math-Verify's priorities: boxes, then "final answer is", then "answer is" and "answer:", then the
 * last formula or number. Within a priority the rightmost match counts. What follows `</think>` is looked at first, as long as an answer is
 * marked there.
 */
import { lastBoxes } from './boxes.ts';
import { lastFormulaOrNumber, leadingAnswer } from './formulas.ts';

export type AnswerSource = 'boxed' | 'phrase' | 'number';

export interface Extracted {
  text: string;
  source: AnswerSource;
}

/** Phrases further from the end than this announce something else than the answer. */
const phraseWindow = 200_000;
const phraseReach = 400;
const finalPhrase = /\bfinal\s{1,3}answer\*{0,2}(?:\s{0,3}(?:is\b|:|=)|\s{0,3}\n)/gi;
const answerPhrase = /\banswer\*{0,2}\s{0,3}(?:is\b|:|=)/gi;
const listed = /^(?:[\s$,;.]|\\[()[\],;\s]|\\quad|\\text\s?\{\s?(?:and|or|,)\s?\}|\band\b|\bor\b)*$/;
const named = /^(?:[\s$,;.]|\\[()[\]]|\band\b|\bor\b)*(?:\\?[A-Za-z]{1,8}(?:_\{?\w{1,4}\}?)?\s{0,2}=\s{0,2})?$/;
const think = '</think>';

/** `goldItems`: how many answers the gold one lists; boxes of one list are joined. */
export function extractMathsAnswer(completion: string, goldItems = 1): Extracted | null {
  const end = completion.lastIndexOf(think);
  if (end >= 0) {
    const stated = markedAnswer(completion.slice(end + think.length), goldItems);
    if (stated) return stated;
  }
  const marked = markedAnswer(completion, goldItems);
  if (marked) return marked;
  const last = (end >= 0 ? lastFormulaOrNumber(completion.slice(end + think.length)) : null) ?? lastFormulaOrNumber(completion);
  return last === null ? null : { text: last, source: 'number' };
}

function markedAnswer(text: string, goldItems: number): Extracted | null {
  const boxed = boxedAnswer(text, goldItems);
  if (boxed !== null) return { text: boxed, source: 'boxed' };
  const window = text.slice(-phraseWindow);
  for (const phrase of [finalPhrase, answerPhrase]) {
    let end = -1;
    for (const match of window.matchAll(phrase)) end = match.index + match[0].length;
    const answer = end < 0 ? null : leadingAnswer(window.slice(end, end + phraseReach));
    if (answer !== null) return { text: answer, source: 'phrase' };
  }
  return null;
}

/** The last box, with those before it that only separators of a list divide from it. */
function boxedAnswer(text: string, goldItems: number): string | null {
  const boxes = lastBoxes(text);
  const last = boxes.at(-1);
  if (!last) return null;
  const between = goldItems > 1 ? named : listed;
  let first = boxes.length - 1;
  while (first > 0) {
    const gap = text.slice(boxes[first - 1]!.end, boxes[first]!.start);
    if (gap.length > 60 || !(listed.test(gap) || between.test(gap))) break;
    first -= 1;
  }
  if (first === boxes.length - 1 && goldItems > 1 && boxes.length === goldItems && !/[,;]|\band\b|\\pm/.test(last.content)) first = 0;
  const contents = [...new Set(boxes.slice(first).map((box) => box.content))];
  return contents.join(', ');
}
