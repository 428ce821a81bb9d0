/**
 * Abacus's vocabulary: special tokens, all 256 bytes in GPT-2's printable alphabet, and whole words of its own texts. Digits are
 * bytes and nothing merges, so arithmetic stays character by character and any text survives a round trip.
 */
import { generalTemplates, generalWords } from './general-text.ts';
import { names, tasks, things } from './problems.ts';

export const specialTokens = ['<|pad|>', '<|end|>', '<|system|>', '<|user|>', '<|assistant|>'] as const;
/** Whole tokens that remain visible when special tokens are skipped. */
export const markerTokens = ['<think>', '</think>', '\\boxed{'] as const;
/** A multiple of 64. */
export const vocabularySize = 448;

/** Splits text into words with an optional leading blank, digits and single other characters; Oniguruma and JavaScript agree on it. */
export const wordPattern = ' ?[A-Za-z]+|[0-9]|[^A-Za-z0-9]';

/** Tokens in id order: `specialTokens`, `markerTokens`, bytes, words. */
export function vocabulary(): string[] {
  const tokens = [...specialTokens, ...markerTokens, ...byteAlphabet(), ...words()];
  const spare = vocabularySize - tokens.length;
  if (spare < 0) throw new RangeError(`the vocabulary has ${tokens.length} tokens, more than ${vocabularySize}`);
  return [...tokens, ...Array.from({ length: spare }, (_, index) => `<|spare-${index}|>`)];
}

/** The printable character that stands for each byte in byte-level tokenizers (openai/gpt-2, `bytes_to_unicode`). */
export function byteAlphabet(): string[] {
  let shifted = 0;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCharCode(printable ? byte : 256 + shifted++);
  });
}

/** Words of the templates, as they occur: at the start of a text or after a blank (`Ġ`). Single letters are bytes already. */
function words(): string[] {
  const texts = [
    ...tasks.flatMap((task) => [...task.wordings, task.symbolic([1, 2, 3])]),
    ...generalTemplates,
    ...[...names, ...generalTemplates.map((text) => text.split(' ')[0]!)].map((word) => `. ${word}`),
    ...[...names, ...things, ...generalWords].map((word) => `a ${word}`),
    ...names,
  ];
  const found = new Set<string>();
  for (const text of texts) {
    for (const [word] of text.replace(/\{\w+\}/g, '_').matchAll(/ ?[A-Za-z]+/g)) if (word.length > 1) found.add(word.replace(' ', 'Ġ'));
  }
  return [...found].sort();
}
