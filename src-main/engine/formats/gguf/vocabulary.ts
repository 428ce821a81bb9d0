/**
 * A model's tokenizer.json as the metadata llama.cpp builds its tokenizer from: byte-level BPE ("gpt2") with one token per row of the
 * embeddings, merges, special ids and the chat template. Other kinds of tokenizers are refused by name.
 */
import { RoundoffError } from '#contract/errors.ts';
import { isJsonObject, type JsonObject } from '../../data/json-file.ts';
import type { ModelConfig } from '../../model/config.ts';
import { preTokenizerOf } from './pre-tokenizer.ts';
import type { GgufMetadata, GgufValue } from './types.ts';

export interface TokenizerFiles {
  /** tokenizer.json. */
  tokenizer: JsonObject;
  /** tokenizer_config.json. */
  tokenizerConfig: JsonObject;
  /** Text of the chat template, if any. */
  chatTemplate: string | null;
}

export interface GgufVocabulary {
  metadata: GgufMetadata;
  /** What llama.cpp will do differently with text. */
  notes: string[];
}

/** llama.cpp's `llama_token_type`. */
const tokenTypes = { normal: 1, control: 3, userDefined: 4, unused: 5 } as const;

/** Two zero bytes: stands where a vocabulary has no merges, because llama.cpp does not load one without. */
const dummyMerge = 'Ā Ā';

/** Throws `unsupported` for a tokenizer that is not byte-level BPE. */
export function vocabularyMetadata(config: ModelConfig, files: TokenizerFiles): GgufVocabulary {
  const problem = vocabularyProblem(files.tokenizer);
  if (problem) throw new RoundoffError('unsupported', problem, 'Export the model in another format.');
  const { tokens, types, ids } = listTokens(config, files.tokenizer);
  const pre = preTokenizerOf(files.tokenizer, ids);
  const merges = listMerges(files.tokenizer);
  const metadata: GgufMetadata = new Map<string, GgufValue>([
    ['tokenizer.ggml.model', { type: 'string', value: 'gpt2' }],
    ['tokenizer.ggml.pre', { type: 'string', value: pre.name }],
    ['tokenizer.ggml.tokens', { type: 'array', of: 'string', values: tokens }],
    ['tokenizer.ggml.token_type', { type: 'array', of: 'int32', values: types }],
    ['tokenizer.ggml.merges', { type: 'array', of: 'string', values: merges.length > 0 ? merges : [dummyMerge] }],
    ...specialIds(config, files.tokenizerConfig, ids),
    ['tokenizer.ggml.add_bos_token', { type: 'bool', value: addsBos(files) }],
  ]);
  if (files.chatTemplate !== null) metadata.set('tokenizer.chat_template', { type: 'string', value: files.chatTemplate });
  const notes = pre.isExact
    ? []
    : [`llama.cpp has no rule that splits text as this tokenizer does; with "${pre.name}" some texts become other tokens there.`];
  return { metadata, notes };
}

/** Why llama.cpp cannot use the tokenizer; null when it can. */
export function vocabularyProblem(tokenizer: JsonObject): string | null {
  const model = isJsonObject(tokenizer.model) ? tokenizer.model : {};
  const isByteLevel = JSON.stringify([tokenizer.pre_tokenizer ?? null, tokenizer.decoder ?? null]).includes('"ByteLevel"');
  if (model.type === 'BPE' && isByteLevel && isJsonObject(model.vocab)) return null;
  const kind = typeof model.type === 'string' ? model.type : 'of an unknown kind';
  return `tokenizer.json: GGUF files are written with byte-level BPE vocabularies, but this tokenizer is ${kind}${isByteLevel ? '' : ' without byte level'}.`;
}

interface TokenList {
  tokens: string[];
  types: number[];
  ids: Map<string, number>;
}

/** One token per row of the embeddings; rows without a token get a name of their own. */
function listTokens({ vocabSize }: ModelConfig, tokenizer: JsonObject): TokenList {
  const tokens: (string | undefined)[] = Array.from({ length: vocabSize });
  const types = new Array<number>(vocabSize).fill(tokenTypes.normal);
  const ids = new Map<string, number>();
  const vocabulary = (tokenizer.model as JsonObject).vocab as Record<string, number>;
  for (const [token, id] of Object.entries(vocabulary)) {
    checkId(token, id, vocabSize);
    tokens[id] = token;
    ids.set(token, id);
  }
  const added = Array.isArray(tokenizer.added_tokens) ? tokenizer.added_tokens.filter(isJsonObject) : [];
  for (const { id, content, special } of added as { id: number; content: string; special?: boolean }[]) {
    checkId(content, id, vocabSize);
    tokens[id] = content;
    ids.set(content, id);
    types[id] = special || /^<[|｜].*[|｜]>$/u.test(content) ? tokenTypes.control : tokenTypes.userDefined;
  }
  for (let id = 0; id < vocabSize; id++) {
    if (tokens[id] !== undefined) continue;
    types[id] = tokenTypes.unused;
    tokens[id] = freeName(`[PAD${id}]`, ids);
    ids.set(tokens[id]!, id);
  }
  return { tokens: tokens as string[], types, ids };
}

function freeName(name: string, taken: { has(name: string): boolean }): string {
  return taken.has(name) ? freeName(`${name}_`, taken) : name;
}

function checkId(token: string, id: number, vocabSize: number): void {
  if (Number.isInteger(id) && id >= 0 && id < vocabSize) return;
  throw new RoundoffError(
    'tokenizer-invalid',
    `tokenizer.json: the token ${JSON.stringify(token)} has the id ${id}, but the model's embeddings have ${vocabSize} rows.`,
    'Take tokenizer.json from the same revision as the weights.',
  );
}

/** Merges as `left right`, from either spelling of tokenizer.json. */
function listMerges(tokenizer: JsonObject): string[] {
  const { merges } = tokenizer.model as JsonObject;
  if (!Array.isArray(merges)) return [];
  return merges.map((merge: unknown) => (Array.isArray(merge) ? merge.join(' ') : String(merge)));
}

/** Of several end-of-text ids the one tokenizer_config.json names; llama.cpp finds the others by their text. */
function specialIds(config: ModelConfig, tokenizerConfig: JsonObject, ids: ReadonlyMap<string, number>): [string, GgufValue][] {
  const named = ids.get(contentOf(tokenizerConfig.eos_token) ?? '');
  const eos = named !== undefined && config.eosTokenIds.includes(named) ? named : (config.eosTokenIds[0] ?? named);
  const bos = config.bosTokenId ?? ids.get(contentOf(tokenizerConfig.bos_token) ?? '');
  const padding = config.padTokenId ?? ids.get(contentOf(tokenizerConfig.pad_token) ?? '');
  const found = { eos_token_id: eos, bos_token_id: bos, padding_token_id: padding };
  return Object.entries(found).flatMap(([key, id]): [string, GgufValue][] =>
    id === undefined ? [] : [[`tokenizer.ggml.${key}`, { type: 'uint32', value: id }]],
  );
}

/** Whether every text starts with the beginning-of-text token: said outright, or by the template of the post-processor. */
function addsBos({ tokenizer, tokenizerConfig }: TokenizerFiles): boolean {
  if (typeof tokenizerConfig.add_bos_token === 'boolean') return tokenizerConfig.add_bos_token;
  const processor = isJsonObject(tokenizer.post_processor) ? tokenizer.post_processor : {};
  const steps = Array.isArray(processor.processors) ? processor.processors.filter(isJsonObject) : [processor];
  const template = steps.find((step) => step.type === 'TemplateProcessing')?.single;
  const first: unknown = Array.isArray(template) ? template[0] : undefined;
  return isJsonObject(first) && isJsonObject(first.SpecialToken);
}

/** A special token's text: written plainly, or as an object with `content`. */
function contentOf(value: unknown): string | undefined {
  const content = isJsonObject(value) ? value.content : value;
  return typeof content === 'string' ? content : undefined;
}
