/**
 * Text to token ids and back, from a model's `tokenizer.json` (@huggingface/tokenizers). Decoding keeps the text exactly as generated:
 * the clean-up of spaces that some configurations ask for is left out, because it would change what verifiers read.
 */
import { join } from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { RoundoffError } from '#contract/errors.ts';
import { isJsonObject, type JsonObject, readJsonObject, readOptionalJsonObject } from '../data/json-file.ts';
import { ProblemList } from '../formats/problems.ts';
import { type ChatMessage, type ChatTemplate, type ChatTemplateOptions, loadChatTemplate } from './chat-template.ts';
import { limitedAlphabet, type TokenizerAlphabet } from './tokenizer-alphabet.ts';

export const tokenizerFile = 'tokenizer.json';
export const tokenizerConfigFile = 'tokenizer_config.json';

export interface EncodeOptions {
  /** Add the tokens the tokenizer puts around a text of its own accord (such as Llama's beginning-of-text). */
  addSpecialTokens?: boolean;
}

export interface DecodeOptions {
  /** Leave out control tokens such as end-of-text. */
  skipSpecialTokens?: boolean;
}

export class ModelTokenizer {
  /** Ids of control tokens. */
  readonly specialIds: ReadonlySet<number>;
  /** One above the largest id. */
  readonly size: number;
  /** Null when the model brings no chat template. */
  readonly chatTemplate: ChatTemplate | null;
  private readonly tokenizer: Tokenizer;
  private readonly alphabet: TokenizerAlphabet | null;

  constructor(json: JsonObject, config: JsonObject, chatTemplate: ChatTemplate | null) {
    this.tokenizer = new Tokenizer(json, config);
    this.chatTemplate = chatTemplate;
    const added = [...this.tokenizer.get_added_tokens_decoder().values()];
    this.specialIds = new Set(added.filter((token) => token.special).map((token) => token.id));
    this.size = largestId(this.tokenizer) + 1;
    this.alphabet = limitedAlphabet(json, this.tokenizer.get_vocab(true).keys());
  }

  /** Throws `bad-input` for characters the vocabulary cannot express. */
  encode(text: string, options: EncodeOptions = {}): number[] {
    if (text === '') return [];
    const { ids } = this.tokenizer.encode(text, { add_special_tokens: options.addSpecialTokens ?? true });
    this.checkExpressible(text, ids);
    return ids;
  }

  /** Ids of a conversation, rendered with the model's chat template. Throws `unsupported` when it has none. */
  encodeChat(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): number[] {
    if (!this.chatTemplate)
      throw new RoundoffError(
        'unsupported',
        'This model has no chat template.',
        'Use a plain prompt, or add a chat_template to tokenizer_config.json.',
      );
    return this.encode(this.chatTemplate.render(messages, options), { addSpecialTokens: false });
  }

  /** Ids outside the vocabulary (padding rows of the embedding) decode to nothing, as in Hugging Face's tokenizers. */
  decode(ids: readonly number[], options: DecodeOptions = {}): string {
    const known = ids.filter(
      (id) => this.tokenizer.id_to_token(id) !== undefined && !(options.skipSpecialTokens && this.specialIds.has(id)),
    );
    return known.length === 0 ? '' : this.tokenizer.decode(known, { skip_special_tokens: false, clean_up_tokenization_spaces: false });
  }

  /** A decoder to push ids into one at a time; see `StreamingDecoder`. */
  stream(options: DecodeOptions = {}): StreamingDecoder {
    return new StreamingDecoder(this, options);
  }

  tokenId(token: string): number | null {
    return this.tokenizer.token_to_id(token) ?? null;
  }

  token(id: number): string | null {
    return this.tokenizer.id_to_token(id) ?? null;
  }

  private checkExpressible(text: string, ids: readonly number[]): void {
    const lost = this.alphabet ? [...text].filter((character) => !this.alphabet!.covers(character)) : [];
    if (lost.length === 0 && ids.every((id) => id !== undefined)) return;
    const shown = [...new Set(lost)].slice(0, 10).map((character) => JSON.stringify(character));
    throw new RoundoffError(
      'bad-input',
      `The text ${JSON.stringify(text.slice(0, 60))} holds ${shown.length > 0 ? shown.join(', ') : 'symbols'} that this model's tokenizer cannot express.`,
      'Use text in the characters the model was trained on, or another model.',
    );
  }
}

/** Decodes a growing sequence; text comes out as soon as it cannot change any more (a character may take several byte tokens). */
export class StreamingDecoder {
  private readonly tokenizer: ModelTokenizer;
  private readonly options: DecodeOptions;
  private ids: number[] = [];
  private emitted = '';

  constructor(tokenizer: ModelTokenizer, options: DecodeOptions) {
    this.tokenizer = tokenizer;
    this.options = options;
  }

  /** The text that became final with this id; often the token's text, sometimes empty. */
  push(id: number): string {
    if (this.options.skipSpecialTokens && this.tokenizer.specialIds.has(id)) return '';
    this.ids.push(id);
    const text = this.tokenizer.decode(this.ids, this.options);
    if (text.endsWith('\ufffd')) return '';
    const fresh = text.slice(this.emitted.length);
    // The last id stays as context: some decoders treat the first token of a sequence differently.
    this.ids = [id];
    this.emitted = this.tokenizer.decode(this.ids, this.options);
    return fresh;
  }

  /** What is left, incomplete characters included. */
  end(): string {
    return this.tokenizer.decode(this.ids, this.options).slice(this.emitted.length);
  }
}

/** Loads the tokenizer of the model in `dir`. With `vocabSize` its ids must fit the model's embeddings. Throws `tokenizer-invalid`. */
export async function loadTokenizer(dir: string, options: { vocabSize?: number } = {}): Promise<ModelTokenizer> {
  const problems = new ProblemList();
  const tokenizer = await scanTokenizer(dir, options.vocabSize ?? null, problems);
  problems.throwErrors(dir);
  return tokenizer!;
}

/** Like `loadTokenizer`, but problems are collected. */
export async function scanTokenizer(dir: string, vocabSize: number | null, problems: ProblemList): Promise<ModelTokenizer | null> {
  const broken = { code: 'tokenizer-invalid', hint: 'Download the file again.' } as const;
  try {
    const config = (await readOptionalJsonObject(join(dir, tokenizerConfigFile), broken)) ?? {};
    const json = await readJsonObject(join(dir, tokenizerFile), broken);
    const tokenizer = build(json, config, await loadChatTemplate(dir, config));
    checkTokenizer(json, tokenizer, vocabSize, problems);
    return tokenizer;
  } catch (error) {
    if (error instanceof RoundoffError && error.code === 'not-found')
      problems.error(
        tokenizerFile,
        'the file is missing.',
        'Download it, or make it from the slow tokenizer with transformers: AutoTokenizer.from_pretrained(folder).save_pretrained(folder).',
        'tokenizer-invalid',
      );
    else problems.caught(tokenizerFile, error);
    return null;
  }
}

function build(json: JsonObject, config: JsonObject, chatTemplate: ChatTemplate | null): ModelTokenizer {
  try {
    return new ModelTokenizer(json, config, chatTemplate);
  } catch (error) {
    throw new RoundoffError(
      'tokenizer-invalid',
      `the tokenizer cannot be built: ${(error as Error).message}`,
      'Download the file again, from the same revision as the model.',
      {
        cause: error,
      },
    );
  }
}

function checkTokenizer(json: JsonObject, tokenizer: ModelTokenizer, vocabSize: number | null, problems: ProblemList): void {
  if (tokenizer.size === 0) problems.error(tokenizerFile, 'its vocabulary is empty.', 'Download the file again.', 'tokenizer-invalid');
  if (vocabSize !== null && tokenizer.size > vocabSize)
    problems.error(
      tokenizerFile,
      `its largest id is ${tokenizer.size - 1} (${JSON.stringify(tokenizer.token(tokenizer.size - 1))}), but the model's embeddings have ${vocabSize} rows.`,
      'Take tokenizer.json from the same revision as the weights; the two do not belong together.',
      'tokenizer-invalid',
    );
  for (const token of Array.isArray(json.added_tokens) ? json.added_tokens.filter(isJsonObject) : [])
    if (tokenizer.token(Number(token.id)) !== token.content)
      problems.error(
        tokenizerFile,
        `the id ${Number(token.id)} stands for more than one token.`,
        'Download the file again.',
        'tokenizer-invalid',
      );
}

/** −1 for an empty vocabulary. */
function largestId(tokenizer: Tokenizer): number {
  let largest = -1;
  for (const id of tokenizer.get_vocab(true).values()) largest = Math.max(largest, id);
  return largest;
}
