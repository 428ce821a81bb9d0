/**
 * Training examples from a file: conversations rendered by the model's chat template with the last answer as the part that counts, or plain
 * text that counts as a whole. Problems for RL are read as benchmarks are.
 */
import { basename, extname } from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import type { TrainingDataSettings } from '#contract/training.ts';
import { loadBenchmark } from '../benchmarks/load.ts';
import { renderPrompt } from '../benchmarks/prompts.ts';
import { type Document, streamDocuments } from '../data/documents.ts';
import type { ChatMessage } from '../model/chat-template.ts';
import type { ModelConfig } from '../model/config.ts';
import type { ModelTokenizer } from '../model/tokenizer.ts';
import type { TrainingData, TrainingExample } from './examples.ts';

export interface LoadedExamples extends TrainingData {
  /** Rows left out because they are longer than the stage's `maxTokens`. */
  tooLong: number;
}

/** A text file is cut into pieces of about this many characters per token of `maxTokens`. */
const charactersPerToken = 3;

/**
 * The examples of `settings.path`, in file order. Throws `dataset-invalid` with the place of a bad row (an answer that is missing or empty),
 * and when no example is left.
 */
export async function loadExamples(
  settings: TrainingDataSettings,
  config: ModelConfig,
  tokenizer: ModelTokenizer,
  options: { signal?: AbortSignal } = {},
): Promise<LoadedExamples> {
  const { path, limit, maxTokens } = settings;
  const longest = Math.min(maxTokens, config.contextLength);
  const examples: TrainingExample[] = [];
  let tooLong = 0;
  let rows = 0;
  for await (const document of streamDocuments(path, { textLength: charactersPerToken * longest, ...options })) {
    if (limit !== null && rows >= limit) break;
    rows++;
    const example = toExample(document, settings, config, tokenizer);
    if (example.ids.length > longest) tooLong++;
    else examples.push(example);
  }
  if (examples.length === 0)
    throw new RoundoffError(
      'dataset-invalid',
      rows === 0 ? `${path} has no rows.` : `All ${rows} examples of ${path} are longer than ${longest} tokens.`,
      rows === 0 ? 'Choose a file with training examples.' : 'Raise the longest length of an example, within the model’s context.',
    );
  return { count: examples.length, example: (index) => examples[index]!, tooLong };
}

export interface RlProblem {
  id: string;
  promptIds: number[];
  gold: string;
}

/** Problems with their rendered prompts, in file order. Throws as `loadBenchmark` and `renderPrompt` do, and when none is left. */
export async function loadRlProblems(
  { path, limit, maxTokens, promptTemplate }: TrainingDataSettings,
  maxNewTokens: number,
  config: ModelConfig,
  tokenizer: ModelTokenizer,
  options: { signal?: AbortSignal } = {},
): Promise<{ problems: RlProblem[]; tooLong: number }> {
  const { problems, kind } = await loadBenchmark({ name: basename(path, extname(path)), path, limit }, options);
  if (kind !== 'maths')
    throw new RoundoffError(
      'dataset-invalid',
      `${path} holds problems of the kind ${kind}, which rewards do not judge.`,
      'Choose problems with a written answer.',
    );
  const longest = Math.min(maxTokens, config.contextLength - maxNewTokens);
  const rendered = problems.map((problem) => ({
    id: problem.id,
    gold: problem.gold,
    promptIds: renderPrompt(problem, { systemPrompt: null, promptTemplate }, tokenizer).ids,
  }));
  const fitting = rendered.filter(({ promptIds }) => promptIds.length <= longest);
  if (fitting.length === 0)
    throw new RoundoffError(
      'dataset-invalid',
      `No prompt of ${path} fits ${longest} tokens beside ${maxNewTokens} new ones.`,
      'Raise the longest prompt length, or lower the number of new tokens.',
    );
  return { problems: fitting, tooLong: rendered.length - fitting.length };
}

function toExample(document: Document, settings: TrainingDataSettings, config: ModelConfig, tokenizer: ModelTokenizer): TrainingExample {
  const end = config.eosTokenIds[0];
  const closed = (ids: number[]) => (end === undefined || ids.at(-1) === end ? ids : [...ids, end]);
  if (!document.messages) return { ids: closed(tokenizer.encode(document.text!)), lossStart: 1 };
  const { context, answer } = lastAnswer(document, settings);
  const prompt = promptIds(context, tokenizer);
  const response = tokenizer.encode(answer, { addSpecialTokens: false });
  return { ids: closed([...prompt, ...response]), lossStart: prompt.length };
}

/** Throws `dataset-invalid`, naming the place, for a conversation that does not end with an answer. Plain text has none to give. */
export function requireAnswer(path: string, { place, messages }: Document): void {
  if (!messages) return;
  const answer = messages.at(-1)!;
  if (answer.role === 'assistant' && answer.content.trim() !== '' && messages.length >= 2) return;
  throw new RoundoffError(
    'dataset-invalid',
    `${path}, ${place}: the row has no answer to learn from.`,
    'Each row must end with a completion, solution or assistant message that is not empty.',
  );
}

function lastAnswer(document: Document, { path, promptTemplate }: TrainingDataSettings) {
  requireAnswer(path, document);
  const { messages } = document;
  const answer = messages!.at(-1)!;
  const context = messages!.slice(0, -1).map((message): ChatMessage => {
    if (message.role !== 'user') return message;
    return { ...message, content: promptTemplate.replaceAll('{question}', () => message.content) };
  });
  return { context, answer: answer.content };
}

function promptIds(messages: ChatMessage[], tokenizer: ModelTokenizer): number[] {
  if (!tokenizer.chatTemplate) return tokenizer.encode(messages.map(({ content }) => content).join('\n\n'));
  return tokenizer.encode(tokenizer.chatTemplate.render(messages), { addSpecialTokens: false });
}
