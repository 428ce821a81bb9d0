// Trains a sample model with the engine's own training loop and writes its weights to resources/sample/<name>. An interrupted run continues
// from its last checkpoint. Options: --name abacus|abacus-small, --work DIR (checkpoints and metrics; default out/<name>).
import { appendFile, mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { selectBackend } from '../src-main/engine/backends/select.ts';
import { writeSafetensors } from '../src-main/engine/formats/safetensors.ts';
import { createRandomModel } from '../src-main/engine/model/init.ts';
import type { LanguageModel } from '../src-main/engine/model/language-model.ts';
import { abacusPhases, type SampleModelName, sampleModels, type TrainingPhase, trainingDataOf } from '../src-main/engine/sample/index.ts';
import { type StepMetrics, train } from '../src-main/engine/training/index.ts';

const root = resolve(import.meta.dirname, '..');
const { values } = parseArgs({ options: { name: { type: 'string', default: 'abacus' }, work: { type: 'string' } } });
const name = values.name as SampleModelName;
const { title, config } = sampleModels[name];
const workDir = resolve(values.work ?? join(root, 'out', name));
const reportEvery = 50;

const interrupt = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupt.abort());
const { device } = await selectBackend('wasm');
console.log(`training ${title} on ${device}`);
const model = createRandomModel(config, abacusPhases[0]!.settings.seed);
for (const phase of abacusPhases) await runPhase(phase);
const written = await saveWeights(model, join(root, 'resources/sample', name, 'model.safetensors'));
console.log(`wrote ${written.path}, ${written.sizeBytes} bytes, sha256 ${written.sha256}`);
console.log('measure it, and renew its model card, with scripts/measure-abacus.ts');
model.dispose();

/** A phase that is already finished only loads its weights. */
async function runPhase(phase: TrainingPhase): Promise<void> {
  const { name, settings } = phase;
  console.log(`${name}: ${settings.steps} steps of ${settings.batchSize * settings.accumulation} sequences`);
  const checkpointDir = join(workDir, name);
  await mkdir(checkpointDir, { recursive: true });
  const options = { checkpointDir, signal: interrupt.signal, onStep: report(phase) };
  const progress = await train(model, trainingDataOf(phase), settings, options);
  console.log(`${name}: ${progress.tokens} tokens in all`);
}

/** Prints means over the last steps and appends every step to metrics.jsonl. */
function report({ name, settings }: TrainingPhase): (metrics: StepMetrics) => void {
  let recent: StepMetrics[] = [];
  let since = performance.now();
  return (metrics) => {
    recent.push(metrics);
    if (metrics.step % reportEvery !== 0 && metrics.step !== settings.steps) return;
    const mean = (key: 'loss' | 'learningRate' | 'gradientNorm') => recent.reduce((sum, step) => sum + step[key], 0) / recent.length;
    const rate = (recent.reduce((sum, step) => sum + step.tokens, 0) * 1000) / (performance.now() - since);
    console.log(
      `step ${metrics.step}/${settings.steps}  loss ${mean('loss').toFixed(4)}  norm ${mean('gradientNorm').toFixed(2)}  ` +
        `rate ${metrics.learningRate.toExponential(2)}  ${rate.toFixed(0)} tokens/s`,
    );
    const lines = recent.map((step) => `${JSON.stringify({ phase: name, ...step })}\n`).join('');
    void appendFile(join(workDir, 'metrics.jsonl'), lines);
    recent = [];
    since = performance.now();
  };
}

async function saveWeights(trained: LanguageModel, path: string) {
  const tensors = [...trained.parameters].map(([name, tensor]) => ({
    name,
    dtype: 'F16' as const,
    shape: tensor.shape,
    values: async () => (await tensor.data()) as Float32Array,
  }));
  return await writeSafetensors(path, tensors);
}
