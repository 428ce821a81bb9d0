/**
 * Takes the chosen letter out of a completion by priority: a line "Answer: X" (what the prompts ask for), a box, "the answer is X", then a
 * letter that stands alone as the last line. Within a priority the last one counts. A letter somewhere in a sentence is no choice.
 */
import { lastBoxes } from '../maths/boxes.ts';

export type LetterSource = 'line' | 'boxed' | 'phrase' | 'alone';

export interface ChosenLetter {
  letter: string;
  source: LetterSource;
}

/** Answers stand near the end; further ahead only boxes count. */
const tail = 50_000;
const marks = String.raw`[\s*_"'$]{0,8}`;
const letter = String.raw`(?:\\(?:text|textbf|mathrm|mathbf|boxed)\s?\{\s?)?[([]?\s?([A-J])\s?[)\]]?(?![A-Za-z0-9'’]|\s?[-+=^]\s?\w)`;
const line = new RegExp(String.raw`^${marks}(?:final\s+)?answer${marks}[:=]${marks}(?:option|choice)?${marks}${letter}`, 'gim');
const phrases = [
  String.raw`\bfinal\s{1,3}answer${marks}(?:is|:)`,
  String.raw`\b(?:correct\s{1,3})?(?:answer|choice|option)${marks}(?:is|would\s{1,3}be|should\s{1,3}be|:)`,
  String.raw`\b(?:choose|select|pick)`,
].map((start) => new RegExp(String.raw`(?i:${start}:?${marks}(?:the\s{1,3})?(?:option|choice|answer)?)${marks}${letter}`, 'g'));
const alone = new RegExp(String.raw`^${marks}(?:option|choice)?${marks}${letter}[\s.:*_"'$}]{0,8}$`, 'i');
const think = '</think>';

/** Null when no letter is chosen. Letters are A to J; lower-case ones count on an answer line and in a box, not as the "a" of a sentence. */
export function extractLetter(completion: string): ChosenLetter | null {
  const end = completion.lastIndexOf(think);
  return (end < 0 ? null : chosenIn(completion.slice(end + think.length))) ?? chosenIn(completion);
}

function chosenIn(completion: string): ChosenLetter | null {
  const text = completion.slice(-tail);
  const stated = lastLetter(text, line);
  if (stated) return { letter: stated, source: 'line' };
  const boxed = boxedLetter(completion);
  if (boxed) return { letter: boxed, source: 'boxed' };
  for (const phrase of phrases) {
    const said = lastLetter(text, phrase);
    if (said) return { letter: said, source: 'phrase' };
  }
  const last = text.trimEnd().split('\n').at(-1) ?? '';
  const single = last.length <= 200 ? alone.exec(last) : null;
  return single ? { letter: single[1]!.toUpperCase(), source: 'alone' } : null;
}

/** The last box that holds a letter: `C`, `(C)`, `\text{C}`, `C) 12 metres`, `\textbf{(C)}\ 12`. */
function boxedLetter(text: string): string | null {
  const content = lastBoxes(text).at(-1)?.content.slice(0, 200);
  const match =
    content === undefined
      ? null
      : /^[\s$]*(?:\\(?:text|textbf|mathrm|mathbf)\s?\{\s?)?(?:option|choice|answer:?)?\s?[([]?\s?([A-Ja-j])(?:\s?[)\].:}]|\s*$)/i.exec(
          content,
        );
  return match ? match[1]!.toUpperCase() : null;
}

function lastLetter(text: string, pattern: RegExp): string | null {
  let found: string | null = null;
  for (const match of text.matchAll(pattern)) found = match[1]!;
  return found?.toUpperCase() ?? null;
}
