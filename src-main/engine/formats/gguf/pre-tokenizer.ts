/**
 * Which of llama.cpp's built-in rules for splitting text into words a tokenizer.json uses. llama.cpp knows rules by name, not by
 * pattern, so a pattern it has no name for can only be approximated; token ids are not affected by that, only text is.
 */
import { isJsonObject, type JsonObject } from '../../data/json-file.ts';

export interface PreTokenizer {
  /** `tokenizer.ggml.pre`. */
  name: string;
  /** False when llama.cpp has no such rule and `name` is the nearest. */
  isExact: boolean;
}

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const modernPattern = (digits: string) =>
  `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;

/** Rules by the pattern of the tokenizer's `Split` step. */
const namesByPattern = new Map([
  [modernPattern('\\p{N}'), 'qwen2'],
  [modernPattern('\\p{N}{1,3}'), 'llama-bpe'],
]);

/** A token by which R1's distilled Qwen models differ from Qwen's own. */
const deepseekToken = '<｜begin▁of▁sentence｜>';

/** `tokens` are all tokens of the vocabulary. */
export function preTokenizerOf(json: JsonObject, tokens: { has(token: string): boolean }): PreTokenizer {
  const steps = stepsOf(json.pre_tokenizer);
  const patterns = steps.flatMap(({ type, pattern }) => (type === 'Split' && isJsonObject(pattern) ? [String(pattern.Regex)] : []));
  const known = patterns.length === 1 ? namesByPattern.get(patterns[0]!) : undefined;
  if (known === 'qwen2' && tokens.has(deepseekToken)) return { name: 'deepseek-r1-qwen', isExact: true };
  if (known) return { name: known, isExact: true };
  if (patterns.length === 0 && steps.some((step) => step.type === 'ByteLevel' && step.use_regex !== false)) {
    const digits = steps.some((step) => step.type === 'Digits' && step.individual_digits === true);
    return { name: digits ? 'smollm' : 'gpt-2', isExact: true };
  }
  // Of llama.cpp's rules, llama-bpe takes words that are tokens whole, whatever the merges say.
  const takesWords = isJsonObject(json.model) && json.model.ignore_merges === true;
  return { name: takesWords ? 'llama-bpe' : 'qwen2', isExact: false };
}

function stepsOf(value: unknown): JsonObject[] {
  if (!isJsonObject(value)) return [];
  return Array.isArray(value.pretokenizers) ? value.pretokenizers.filter(isJsonObject) : [value];
}
