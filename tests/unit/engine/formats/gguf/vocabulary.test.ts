import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../../../../src-main/engine/data/json-file.ts';
import { preTokenizerOf } from '../../../../../src-main/engine/formats/gguf/pre-tokenizer.ts';
import type { GgufMetadata } from '../../../../../src-main/engine/formats/gguf/types.ts';
import { vocabularyMetadata } from '../../../../../src-main/engine/formats/gguf/vocabulary.ts';
import type { ModelConfig } from '../../../../../src-main/engine/model/config.ts';
import { tinyConfigs } from '../../rollouts/tiny-models.ts';
import { byteLevel, qwenPattern, smallTokenizer, smallTokenizerConfig, splitBy } from './tokenizers.ts';

const config: ModelConfig = {
  ...tinyConfigs['qwen3, grouped queries'],
  vocabSize: 12,
  eosTokenIds: [9, 1],
  padTokenId: null,
  bosTokenId: null,
};

function vocabulary(tokenizer: JsonObject = smallTokenizer(), tokenizerConfig: JsonObject = smallTokenizerConfig, model = config) {
  return vocabularyMetadata(model, { tokenizer, tokenizerConfig, chatTemplate: 'the template' });
}

const value = (metadata: GgufMetadata, key: string) => {
  const found = metadata.get(`tokenizer.${key}`);
  return found?.type === 'array' ? found.values : found?.value;
};

describe('the vocabulary of a GGUF file', () => {
  it('has one token per row of the embeddings, with its type', () => {
    const { metadata, notes } = vocabulary();
    expect(value(metadata, 'ggml.model')).toBe('gpt2');
    expect(value(metadata, 'ggml.pre')).toBe('qwen2');
    expect(value(metadata, 'ggml.tokens')).toEqual([
      ...['<|begin|>', '<|end|>', '<think>', 'a', 'b', 'Ġ', 'Ġa', 'ab', '[PAD8]', 'Ċ', '[PAD10]', '[PAD11]'],
    ]);
    expect(value(metadata, 'ggml.token_type')).toEqual([3, 3, 4, 1, 1, 1, 1, 1, 5, 1, 5, 5]);
    expect(value(metadata, 'ggml.merges')).toEqual(['Ġ a', 'a b']);
    expect(value(metadata, 'chat_template')).toBe('the template');
    expect(notes).toEqual([]);
  });

  it('takes merges in either spelling, and one that never applies where there are none', () => {
    const model = smallTokenizer().model as JsonObject;
    expect(value(vocabulary(smallTokenizer({ model: { ...model, merges: ['Ġ a'] } })).metadata, 'ggml.merges')).toEqual(['Ġ a']);
    expect(value(vocabulary(smallTokenizer({ model: { ...model, merges: [] } })).metadata, 'ggml.merges')).toEqual(['Ā Ā']);
  });

  it('names the end of text that the tokenizer names, among those of the model, and the ids that exist', () => {
    expect(value(vocabulary().metadata, 'ggml.eos_token_id')).toBe(1);
    expect(value(vocabulary(undefined, {}).metadata, 'ggml.eos_token_id')).toBe(9);
    expect(value(vocabulary().metadata, 'ggml.bos_token_id')).toBe(0);
    expect(value(vocabulary(undefined, {}).metadata, 'ggml.bos_token_id')).toBeUndefined();
    expect(value(vocabulary().metadata, 'ggml.padding_token_id')).toBeUndefined();
    expect(value(vocabulary(undefined, {}, { ...config, padTokenId: 10, bosTokenId: 7 }).metadata, 'ggml.padding_token_id')).toBe(10);
    expect(value(vocabulary(undefined, {}, { ...config, bosTokenId: 7 }).metadata, 'ggml.bos_token_id')).toBe(7);
  });

  it('begins texts as the tokenizer does', () => {
    const adds = (tokenizer: JsonObject, tokenizerConfig: JsonObject) =>
      value(vocabulary(tokenizer, tokenizerConfig).metadata, 'ggml.add_bos_token');
    const template = { type: 'TemplateProcessing', single: [{ SpecialToken: { id: '<|begin|>' } }, { Sequence: { id: 'A' } }] };
    expect(adds(smallTokenizer(), {})).toBe(false);
    expect(adds(smallTokenizer(), { add_bos_token: true })).toBe(true);
    expect(adds(smallTokenizer({ post_processor: template }), {})).toBe(true);
    expect(adds(smallTokenizer({ post_processor: { type: 'Sequence', processors: [byteLevel, template] } }), {})).toBe(true);
    expect(adds(smallTokenizer({ post_processor: template }), { add_bos_token: false })).toBe(false);
  });

  it('refuses tokenizers of another kind and ids beyond the embeddings', () => {
    expect(() => vocabulary(smallTokenizer({ model: { type: 'Unigram', vocab: [] } }))).toThrow(/Unigram/);
    expect(() => vocabulary(smallTokenizer({ pre_tokenizer: null, decoder: null }))).toThrow(/BPE without byte level/);
    expect(() => vocabulary(undefined, undefined, { ...config, vocabSize: 9 })).toThrow(/"Ċ" has the id 9/);
  });
});

describe('the rule that splits text', () => {
  const named = (pre: JsonObject, model: JsonObject = {}, tokens: string[] = []) =>
    preTokenizerOf({ pre_tokenizer: pre, model }, new Set(tokens));

  it('is found by its pattern', () => {
    expect(named(splitBy(qwenPattern))).toEqual({ name: 'qwen2', isExact: true });
    expect(named(splitBy(qwenPattern), {}, ['<｜begin▁of▁sentence｜>'])).toEqual({ name: 'deepseek-r1-qwen', isExact: true });
    expect(named(splitBy(qwenPattern.replace('|\\p{N}|', '|\\p{N}{1,3}|')))).toEqual({ name: 'llama-bpe', isExact: true });
    expect(named({ ...byteLevel, use_regex: true })).toEqual({ name: 'gpt-2', isExact: true });
    const digits = {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Digits', individual_digits: true },
        { ...byteLevel, use_regex: true },
      ],
    };
    expect(named(digits)).toEqual({ name: 'smollm', isExact: true });
  });

  it('is approximated, and said to be, where llama.cpp has none', () => {
    expect(named(splitBy('[0-9]|.'))).toEqual({ name: 'qwen2', isExact: false });
    expect(named(splitBy('[0-9]|.'), { ignore_merges: true })).toEqual({ name: 'llama-bpe', isExact: false });
    const tokenizer = smallTokenizer({ pre_tokenizer: splitBy('[0-9]|.') });
    expect(vocabulary(tokenizer).notes).toEqual([expect.stringContaining('qwen2')]);
  });
});
