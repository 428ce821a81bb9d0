/** The text of Abacus's model card. Every number in it is measured or taken from the settings it was trained with. */
import type { Interval } from '#contract/comparison.ts';
import type { EvaluationProtocol } from '#contract/protocol.ts';
import { parameterCount } from '../model/parameters.ts';
import { type SampleModelName, sampleModels } from './abacus.ts';
import { abacusPhases, type TrainingPhase } from './recipe.ts';

export interface MeasuredBenchmark {
  name: string;
  title: string;
  problems: number;
  accuracy: Interval;
  meanTokens: number;
}

/** Markdown of the README.md in a sample model's folder. */
export function modelCard(name: SampleModelName, measured: readonly MeasuredBenchmark[], protocol: EvaluationProtocol): string {
  return [introduction(name), accuracies(measured, protocol), training(), limits()].join('\n');
}

function introduction(name: SampleModelName): string {
  const { title, config } = sampleModels[name];
  const { layers, hiddenSize, heads, kvHeads, headDim, intermediateSize, vocabSize, contextLength } = config;
  return `---
license: apache-2.0
language: en
library_name: transformers
tags: [arithmetic, chain-of-thought, qwen3]
---

# ${title}

A small reasoning model of ${parameterCount(config).toLocaleString('en-US')} parameters that solves integer-arithmetic problems, told in words or in symbols, by a chain
of thought between \`<think>\` and \`</think>\` and an answer in \`\\boxed{}\`. It was trained from scratch by Roundoff's own engine, so that
quantization can be studied on any machine, offline, on a model that has something to lose.

Architecture: Qwen3, ${layers} layers, width ${hiddenSize}, ${heads} query and ${kvHeads} key/value heads of ${headDim}, MLP ${intermediateSize}, query and key norms, tied embeddings,
context ${contextLength}. Vocabulary: ${vocabSize} tokens, byte level without merges (every digit is a token) plus whole words. Weights are stored as float16.
`;
}

function accuracies(measured: readonly MeasuredBenchmark[], protocol: EvaluationProtocol): string {
  const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
  const rows = measured.map(
    ({ name, title, problems, accuracy, meanTokens }) =>
      `| ${name} | ${title} | ${problems} | ${percent(accuracy.value)} | ${percent(accuracy.low)} – ${percent(accuracy.high)} | ${meanTokens.toFixed(0)} |`,
  );
  return `## Accuracy

Measured by \`scripts/measure-abacus.ts\` at temperature ${protocol.temperature}, top-p ${protocol.topP}, ${protocol.seeds.length} seeds (${protocol.seeds.join(', ')}), all problems of each benchmark.

| benchmark | task | problems | accuracy | 95 % interval | mean tokens |
| --- | --- | ---: | ---: | ---: | ---: |
${rows.join('\n')}
`;
}

function training(): string {
  return `## Training

In two phases on the \`wasm\` backend; only the response counts in the loss. \`npm run sample\` makes the data and trains it again.

${abacusPhases.map(phaseText).join('\n')}

Data: every sequence is drawn fresh from the generators in \`src-main/engine/sample\`. About two fifths of the problems are word problems. The
chains of the first phase have terms of two digits, those of the second and of the benchmark three. Training, calibration and test problems
share no calculation: a hash of the canonical operands decides the split. No other data, and no data about persons, was used.
`;
}

function phaseText({ name, settings, mix }: TrainingPhase): string {
  const { steps, batchSize, accumulation, schedule, beta1, beta2, weightDecay, maxGradientNorm, seed } = settings;
  const shares = mix.map(({ task, share }) => `${task.name} ${share} %`).join(', ');
  const generalShare = 100 - mix.reduce((sum, { share }) => sum + share, 0);
  return `- **${name}**: ${steps.toLocaleString('en-US')} steps of ${batchSize * accumulation} sequences (${shares}, general English sentences from templates ${generalShare} %);
  AdamW (β ${beta1}, ${beta2}; weight decay ${weightDecay} on matrices), learning rate ${schedule.peak} with ${schedule.warmupSteps} steps of warm-up and ${schedule.kind} decay to ${100 * schedule.floorShare} %,
  gradient norm clipped at ${maxGradientNorm}, seed ${seed}.`;
}

function limits(): string {
  return `## Intended use

Trying out and testing quantization methods in Roundoff. It knows its five kinds of problems within the ranges it was trained on and nothing
else: it is no calculator and no assistant. Its answers outside these problems mean nothing.

## Licence

Apache-2.0, weights and data included.
`;
}
