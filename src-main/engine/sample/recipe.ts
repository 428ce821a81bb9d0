/**
 * How Abacus is trained: first on all tasks with short chains, then with the long ones of the benchmark. Each phase has its own data and
 * optimizer; the second starts from the first one's weights.
 */
import { Tokenizer } from '@huggingface/tokenizers';
import { RandomStream } from '../data/random-stream.ts';
import type { TrainingData, TrainingExample, TrainingSettings } from '../training/index.ts';
import { abacusConfig } from './abacus.ts';
import { drawGeneralText } from './general-text.ts';
import { completionOf, drawProblem } from './problems.ts';
import { binary } from './tasks/binary.ts';
import { chains, shortChains } from './tasks/chains.ts';
import { divisors } from './tasks/divisors.ts';
import { products } from './tasks/products.ts';
import { sums } from './tasks/sums.ts';
import { tokenIds, tokenizerConfig, tokenizerJson } from './tokenizer-files.ts';
import type { IntegerSource, TaskDefinition } from './types.ts';

export interface TrainingPhase {
  name: string;
  settings: TrainingSettings;
  /** Sequences of each task per hundred; the rest is general text. */
  mix: { task: TaskDefinition; share: number }[];
}

const settings: TrainingSettings = {
  steps: 4800,
  batchSize: 12,
  accumulation: 2,
  // Two batches of a step share its 24 sequences, sorted by length: little padding, and every step sees the whole mixture.
  batchesPerWindow: 2,
  schedule: { kind: 'cosine', peak: 2e-3, warmupSteps: 100, floorShare: 0.02 },
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.05,
  maxGradientNorm: 1,
  seed: 1,
  checkpointEvery: 200,
};

export const abacusPhases: readonly TrainingPhase[] = [
  {
    name: 'short-chains',
    settings,
    mix: [
      { task: sums, share: 15 },
      { task: binary, share: 10 },
      { task: products, share: 16 },
      { task: divisors, share: 24 },
      { task: shortChains, share: 32 },
    ],
  },
  {
    name: 'long-chains',
    settings: { ...settings, steps: 250, schedule: { ...settings.schedule, peak: 1e-3, warmupSteps: 50 }, seed: 2 },
    mix: [
      { task: sums, share: 10 },
      { task: binary, share: 8 },
      { task: products, share: 14 },
      { task: divisors, share: 22 },
      { task: chains, share: 43 },
    ],
  },
];

/** As many sequences as the phase reads, from the train split; each is seen once. Example n depends on the phase and n alone. */
export function trainingDataOf({ settings: { seed, steps, batchSize, accumulation }, mix }: TrainingPhase): TrainingData {
  const tokenizer = new Tokenizer(tokenizerJson(), tokenizerConfig(abacusConfig.contextLength));
  const stream = new RandomStream(seed, 'abacus-training');
  const encode = (text: string) => tokenizer.encode(text, { add_special_tokens: false }).ids;
  return {
    count: steps * batchSize * accumulation,
    example: (index) => drawExample(mix, stream.fork(String(index)), encode),
  };
}

function drawExample(mix: TrainingPhase['mix'], random: IntegerSource, encode: (text: string) => number[]): TrainingExample {
  const task = drawTask(mix, random);
  if (task === null) return { ids: [...encode(drawGeneralText(random.integer(2, 5), random)), tokenIds.end], lossStart: 1 };
  const problem = drawProblem(task, 'train', random);
  const prompt = encode(`<|user|>${problem.question}<|end|><|assistant|>`);
  return { ids: [...prompt, ...encode(completionOf(problem)), tokenIds.end], lossStart: prompt.length };
}

function drawTask(mix: TrainingPhase['mix'], random: IntegerSource): TaskDefinition | null {
  let ticket = random.integer(0, 99);
  for (const { task, share } of mix) {
    if (ticket < share) return task;
    ticket -= share;
  }
  return null;
}
