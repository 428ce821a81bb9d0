/** Abacus quantized by Roundoff, and what Roundoff itself computes with it: the answers other runtimes must give. */
import { mkdtempSync } from 'node:fs';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { type QuantizationMethod, quantizeStageSchema } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import { selectBackend } from '../../src-main/engine/backends/select.ts';
import { loadBenchmark } from '../../src-main/engine/benchmarks/load.ts';
import { renderPrompt } from '../../src-main/engine/benchmarks/prompts.ts';
import { saveQuantizedCheckpoint } from '../../src-main/engine/formats/quantized-checkpoint.ts';
import type { LanguageModel } from '../../src-main/engine/model/language-model.ts';
import { loadModel } from '../../src-main/engine/model/load.ts';
import { loadTokenizer } from '../../src-main/engine/model/tokenizer.ts';
import { quantizeModel } from '../../src-main/engine/quantizers/quantize-model.ts';
import { createGenerator } from '../../src-main/engine/rollouts/generator.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const resources = path.resolve(import.meta.dirname, '../../resources/sample');
export const abacusDir = path.join(resources, 'abacus');
/** Tokens generated for every prompt, ends of text ignored. */
export const newTokens = 64;

export interface Quantization {
  method: QuantizationMethod;
  scheme: string;
  options?: Record<string, unknown>;
}

export interface Answers {
  prompts: number[][];
  /** Greedy, `newTokens` per prompt. */
  completions: number[][];
  /** That predicted each of these tokens: [prompts, newTokens, vocab]. */
  logits: Float32Array;
}

const temporary = temporaryFolder('interop-models');
const checkpoints = new Map<string, Promise<string>>();

export function newFolder(name: string): string {
  return path.join(mkdtempSync(path.join(temporary, 'out-')), name);
}

/** Folder of a `roundoff` checkpoint of Abacus, or of Abacus itself. */
export function abacus(quantization: Quantization | null): Promise<string> {
  if (!quantization) return Promise.resolve(abacusDir);
  const key = JSON.stringify(quantization);
  const made = checkpoints.get(key) ?? quantize(quantization, path.join(temporary, `checkpoint-${checkpoints.size}`));
  checkpoints.set(key, made);
  return made;
}

async function quantize({ method, scheme, options = {} }: Quantization, dir: string): Promise<string> {
  await selectBackend('wasm');
  const calibration = { path: path.join(resources, 'calibration/abacus.jsonl'), samples: 32, sequenceLength: 128, seed: 0 };
  const calibrates = !['rtn', 'nf4', 'int8'].includes(method);
  const settings = { type: 'quantize', method, scheme: parseScheme(scheme), options, ...(calibrates ? { calibration } : {}) };
  const model = await loadModel(abacusDir);
  const tokenizer = await loadTokenizer(abacusDir, { vocabSize: model.config.vocabSize });
  const { packed: quantized, ...rest } = await quantizeModel(model, quantizeStageSchema.parse(settings), { tokenizer });
  const { parameters, activations, untied } = rest;
  await saveQuantizedCheckpoint(dir, { sourceDir: abacusDir, quantized, parameters, activations, untied });
  model.dispose();
  return dir;
}

/** Prompts of different kinds, rendered as in evaluations. */
export async function promptIds(): Promise<number[][]> {
  const tokenizer = await loadTokenizer(abacusDir);
  const prompts: number[][] = [];
  for (const name of ['sums', 'chains', 'divisors', 'products', 'binary']) {
    const { problems } = await loadBenchmark({ name, path: path.join(resources, `benchmarks/abacus-${name}.jsonl`), limit: 1 });
    prompts.push(renderPrompt(problems[0]!, { systemPrompt: null, promptTemplate: '{question}' }, tokenizer).ids);
  }
  return prompts;
}

/** What this model answers here. */
export async function answersOf(model: LanguageModel, prompts: number[][]): Promise<Answers> {
  const capacity = Math.max(...prompts.map((ids) => ids.length)) + newTokens;
  const generator = createGenerator(model, { slots: prompts.length, capacity });
  const completions: number[][] = prompts.map(() => []);
  const greedy = { temperature: 0, topP: 1, topK: 0, maxNewTokens: newTokens, stopTokenIds: [], ignoreEndTokens: true };
  await generator.run(
    prompts.map((ids, index) => ({ key: String(index), promptIds: ids, seed: 0, stream: String(index) })),
    greedy,
    { onResult: ({ key, tokenIds }) => completions[Number(key)]!.push(...tokenIds) },
  );
  await generator.dispose();
  return { prompts, completions, logits: await logitsOf(model, prompts, completions) };
}

/** Of one pass over each prompt and its completion. */
async function logitsOf(model: LanguageModel, prompts: number[][], completions: number[][]): Promise<Float32Array> {
  const { vocabSize } = model.config;
  const all = new Float32Array(prompts.length * newTokens * vocabSize);
  for (const [index, prompt] of prompts.entries()) {
    const ids = [...prompt, ...completions[index]!].slice(0, -1);
    const logits = tf.tidy(() => model.logits(model.forward(tf.tensor2d([ids], undefined, 'int32'))));
    const values = await logits.data<'float32'>();
    all.set(values.subarray((prompt.length - 1) * vocabSize), index * newTokens * vocabSize);
    logits.dispose();
  }
  return all;
}

/** Answers of the model in a folder that Roundoff loads. */
export async function answersOfFolder(dir: string): Promise<Answers> {
  await selectBackend('wasm');
  const model = await loadModel(dir);
  const answers = await answersOf(model, await promptIds());
  model.dispose();
  return answers;
}
