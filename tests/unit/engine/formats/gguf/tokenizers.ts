/** Small byte-level tokenizers for tests of GGUF files. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { JsonObject } from '../../../../../src-main/engine/data/json-file.ts';

export const qwenPattern =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

export const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false };

/** Splits by `pattern`, then bytes. */
export function splitBy(pattern: string): JsonObject {
  return {
    type: 'Sequence',
    pretokenizers: [{ type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false }, byteLevel],
  };
}

/** Two control tokens (0 begins, 1 ends a text), one token added by a user, and a few pieces with merges. */
export function smallTokenizer(changes: JsonObject = {}): JsonObject {
  return {
    version: '1.0',
    added_tokens: [
      { id: 0, content: '<|begin|>', special: true },
      { id: 1, content: '<|end|>', special: true },
      { id: 2, content: '<think>', special: false },
    ],
    normalizer: null,
    pre_tokenizer: splitBy(qwenPattern),
    post_processor: byteLevel,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      vocab: { a: 3, b: 4, Ġ: 5, Ġa: 6, ab: 7, Ċ: 9 },
      merges: [
        ['Ġ', 'a'],
        ['a', 'b'],
      ],
      byte_fallback: false,
    },
    ...changes,
  };
}

export const smallTokenizerConfig: JsonObject = {
  bos_token: '<|begin|>',
  eos_token: { content: '<|end|>' },
  chat_template: '{{ messages[0].content }}',
};

/** Puts the small tokenizer into a model folder. */
export function addTokenizer(dir: string): void {
  writeFileSync(join(dir, 'tokenizer.json'), JSON.stringify(smallTokenizer()));
  writeFileSync(join(dir, 'tokenizer_config.json'), JSON.stringify(smallTokenizerConfig));
}
