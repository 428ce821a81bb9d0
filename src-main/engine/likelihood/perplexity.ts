/**
 * Perplexity of a text: exp of the mean negative log-probability per token. The text is encoded once and read in windows, each beginning
 * `stride` tokens after the one before; a token is scored in the first window that holds it with something before it, so none counts
 * twice. With stride = window these are the separate windows of the quantization papers (GPTQ, AWQ), whose first tokens are not scored.
 */
import { RoundoffError } from '#contract/errors.ts';
import type { TextWindow } from '#contract/worker.ts';
import { throwIfCancelled } from '../data/cancellation.ts';
import type { LanguageModel } from '../model/language-model.ts';
import type { ModelTokenizer } from '../model/tokenizer.ts';
import { batchesOf, type ScoredSequence, scoreSequences } from './score-sequences.ts';

export interface WindowSettings {
  window: number;
  stride: number;
}

export interface TextInput extends WindowSettings {
  model: LanguageModel;
  tokenizer: ModelTokenizer;
  benchmark: string;
  text: string;
}

export interface TextOptions {
  /** Numbers of the windows that are recorded already. */
  recorded: ReadonlySet<number>;
  signal?: AbortSignal | undefined;
  onWindow(window: TextWindow): void;
}

/** Scores every window that is not recorded. Throws `cancelled`. */
export async function scoreText(
  { model, benchmark }: TextInput,
  windows: readonly ScoredSequence[],
  { recorded, signal, onWindow }: TextOptions,
): Promise<void> {
  const sequences = windows.map((sequence, window) => ({ ...sequence, window }));
  for (const batch of batchesOf(sequences, ({ ids }) => ids.length)) {
    if (batch.every(({ window }) => recorded.has(window))) continue;
    throwIfCancelled(signal, 'The evaluation');
    const scores = await scoreSequences(model, batch);
    for (const [index, { ids, from, window }] of batch.entries())
      if (!recorded.has(window)) onWindow({ benchmark, window, tokens: ids.length - from, nats: -scores[index]! });
  }
}

/**
 * The windows of a text, each with the first of its positions that no earlier one scored. Throws `bad-input` for windows longer than the model's
 * context and texts of fewer than two tokens.
 */
export function windowsOf({ model, tokenizer, benchmark, text, window, stride }: TextInput): ScoredSequence[] {
  if (window > model.config.contextLength)
    throw new RoundoffError(
      'bad-input',
      `Windows of ${window} tokens exceed the model's context of ${model.config.contextLength}.`,
      `Set the window for perplexity to ${model.config.contextLength} or less.`,
    );
  const ids = tokenizer.encode(text);
  const windows: ScoredSequence[] = [];
  let scored = 0;
  for (let start = 0; start < ids.length; start += stride) {
    const end = Math.min(ids.length, start + window);
    const from = Math.max(1, scored - start);
    if (end - start > from) windows.push({ ids: ids.slice(start, end), from });
    scored = end;
    if (end === ids.length) break;
  }
  if (windows.length > 0) return windows;
  throw new RoundoffError('bad-input', `The text "${benchmark}" has ${ids.length} tokens, too few to score.`, 'Choose a longer text.');
}
