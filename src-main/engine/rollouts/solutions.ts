/**
 * A model's own solutions to a set of problems, the calibration text of Reasoning-QAT (arXiv 2601.14888) and of the evaluation protocol it
 * builds on: what the model will write is what its quantization should preserve. One completion per problem, reproducible by seed.
 */
import { basename, extname } from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import type { CalibrationSettings } from '#contract/recipe.ts';
import { renderPrompt } from '../benchmarks/prompts.ts';
import { readJsonRows } from '../data/json-rows.ts';
import { RandomStream } from '../data/random-stream.ts';
import type { LanguageModel } from '../model/language-model.ts';
import type { ModelTokenizer } from '../model/tokenizer.ts';
import { createGenerator } from './generator.ts';
import { affordableSlots } from './slots.ts';

export interface Solution {
  problem: string;
  /** The completion as text. */
  completion: string;
  /** Prompt and completion, as the model read and wrote them. */
  ids: number[];
}

export interface SolutionsOptions {
  runSeed: number;
  signal?: AbortSignal;
  onProgress?(finished: number, total: number): void;
  /** What the reader of a log should know. */
  onLog?(message: string): void;
}

/**
 * Solutions in the seeded order of the problems. Throws `dataset-invalid` for rows without a question, `bad-input` for prompts that leave
 * no room in the model's context, `cancelled`.
 */
export async function sampleSolutions(
  model: LanguageModel,
  tokenizer: ModelTokenizer,
  calibration: CalibrationSettings,
  { runSeed, signal, onProgress, onLog }: SolutionsOptions,
): Promise<Solution[]> {
  const settings = calibration.solutions!;
  const questions = await readQuestions(calibration.path, signal);
  const order = new RandomStream(runSeed, 'calibration-problems', String(calibration.seed)).shuffle(questions);
  const chosen = settings.problems === null ? order : order.slice(0, settings.problems);
  const protocol = { systemPrompt: null, promptTemplate: settings.promptTemplate };
  const prompts = chosen.map((question) => renderPrompt({ question }, protocol, tokenizer).ids);
  const longest = Math.max(...prompts.map((ids) => ids.length));
  const capacity = longest + settings.maxNewTokens;
  if (capacity > model.config.contextLength) {
    throw new RoundoffError(
      'bad-input',
      `Problems of up to ${longest} tokens and ${settings.maxNewTokens} new ones exceed the model's context of ${model.config.contextLength}.`,
      `Set the solutions' token limit to at most ${Math.max(1, model.config.contextLength - longest)}.`,
    );
  }
  const solutions = new Array<Solution>(chosen.length);
  const slots = await affordableSlots(model, { capacity, requests: chosen.length, ...(onLog ? { onLog } : {}) });
  const generator = createGenerator(model, { slots, capacity });
  if (generator.reason) onLog?.(generator.reason);
  try {
    await generator.run(
      prompts.map((promptIds, index) => ({ key: String(index), promptIds, seed: calibration.seed, stream: `calibration/${index}` })),
      { temperature: settings.temperature, topP: settings.topP, topK: 0, maxNewTokens: settings.maxNewTokens, stopTokenIds: [] },
      {
        ...(signal ? { signal } : {}),
        onProgress: ({ finished, total }) => onProgress?.(finished, total),
        onResult: ({ key, tokenIds, finishReason }) => {
          const index = Number(key);
          const completion = tokenizer.decode(finishReason === 'stop' ? tokenIds.slice(0, -1) : tokenIds);
          solutions[index] = { problem: chosen[index]!, completion, ids: [...prompts[index]!, ...tokenIds] };
        },
      },
    );
  } finally {
    await generator.dispose();
  }
  return solutions;
}

/** The questions of a problem set, in file order: `problem`, `question` or `prompt` of each row. */
export async function readQuestions(path: string, signal?: AbortSignal): Promise<string[]> {
  const questions: string[] = [];
  for await (const { place, value } of readJsonRows(path, { columns, ...(signal ? { signal } : {}) })) {
    const column = columns.find((name) => typeof value[name] === 'string' && (value[name] as string).trim() !== '');
    if (!column) {
      const has = Object.keys(value).slice(0, 8).join(', ') || 'nothing';
      throw new RoundoffError(
        'dataset-invalid',
        `${path}, ${place}: the row has no question (it has: ${has}).`,
        'Each row needs its question as text in "problem", "question" or "prompt".',
      );
    }
    questions.push((value[column] as string).trim());
  }
  if (questions.length > 0) return questions;
  throw new RoundoffError(
    'dataset-invalid',
    `${basename(path, extname(path))} holds no problems.`,
    'Choose a file with one problem per row.',
  );
}

const columns = ['problem', 'question', 'prompt'];
