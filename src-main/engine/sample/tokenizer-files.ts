/**
 * `tokenizer.json` and `tokenizer_config.json` as the `tokenizers` library and @huggingface/tokenizers read them: byte-level BPE
 * without merges, where a piece that is a word of the vocabulary is taken whole (`ignore_merges`).
 */
import { markerTokens, specialTokens, vocabulary, wordPattern } from './vocabulary.ts';

/** One line per turn would cost tokens; a role token, the text and `<|end|>` are enough. */
export const chatTemplate =
  "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";

export const tokenIds = { pad: 0, end: 1 } as const;

export function tokenizerJson(): object {
  const tokens = vocabulary();
  const added = (content: string, id: number) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: id < specialTokens.length,
  });
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [...specialTokens, ...markerTokens].map(added),
    normalizer: null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [{ type: 'Split', pattern: { Regex: wordPattern }, behavior: 'Isolated', invert: false }, byteLevel],
    },
    post_processor: byteLevel,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: true,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: [],
    },
  };
}

export function tokenizerConfig(contextLength: number): object {
  return {
    tokenizer_class: 'PreTrainedTokenizerFast',
    add_bos_token: false,
    bos_token: null,
    eos_token: '<|end|>',
    pad_token: '<|pad|>',
    unk_token: null,
    model_max_length: contextLength,
    clean_up_tokenization_spaces: false,
    chat_template: chatTemplate,
  };
}
