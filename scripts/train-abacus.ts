// Trains Abacus with the engine's own training loop and writes its weights to resources/sample/abacus. An interrupted run continues from
// its last checkpoint. Options: --steps N, --work DIR (checkpoint and metrics; default out/abacus).
import { appendFile, mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { selectBackend } from '../src-main/engine/backends/select.ts';
import { writeSafetensors } from '../src-main/engine/formats/safetensors.ts';
import { createRandomModel } from '../src-main/engine/model/init.ts';
import type { LanguageModel } from '../src-main/engine/model/language-model.ts';
import { abacusConfig, abacusTrainingData } from '../src-main/engine/sample/index.ts';
import { abacusTrainingSettings } from '../src-main/engine/sample/recipe.ts';
import { type StepMetrics, train } from '../src-main/engine/training/index.ts';

const root = resolve(import.meta.dirname, '..');
const { values } = parseArgs({ options: { steps: { type: 'string' }, work: { type: 'string' } } });
const workDir = resolve(values.work ?? join(root, 'out/abacus'));
const settings = { ...abacusTrainingSettings, ...(values.steps ? { steps: Number(values.steps) } : {}) };
const reportEvery = 50;

const interrupt = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupt.abort());
await mkdir(workDir, { recursive: true });
const { device } = await selectBackend('wasm');
console.log(`training Abacus on ${device}: ${settings.steps} steps of ${settings.batchSize * settings.accumulation} sequences`);

const model = createRandomModel(abacusConfig, settings.seed);
const data = abacusTrainingData(settings.seed, settings.steps * settings.batchSize * settings.accumulation);
const progress = await train(model, data, settings, {
  checkpointDir: join(workDir, 'checkpoint'),
  signal: interrupt.signal,
  onStep: report(),
});
const written = await saveWeights(model, join(root, 'resources/sample/abacus/model.safetensors'));
console.log(
  `${progress.step} steps, ${progress.tokens} tokens; wrote ${written.path}, ${written.sizeBytes} bytes, sha256 ${written.sha256}`,
);

/** Prints means over the last steps and appends every step to metrics.jsonl. */
function report(): (metrics: StepMetrics) => void {
  let recent: StepMetrics[] = [];
  let since = performance.now();
  return (metrics) => {
    recent.push(metrics);
    if (metrics.step % reportEvery !== 0 && metrics.step !== settings.steps) return;
    const mean = (key: keyof StepMetrics) => recent.reduce((sum, step) => sum + step[key], 0) / recent.length;
    const rate = (recent.reduce((sum, step) => sum + step.tokens, 0) * 1000) / (performance.now() - since);
    console.log(
      `step ${metrics.step}/${settings.steps}  loss ${mean('loss').toFixed(4)}  norm ${mean('gradientNorm').toFixed(2)}  ` +
        `rate ${metrics.learningRate.toExponential(2)}  ${rate.toFixed(0)} tokens/s`,
    );
    const lines = recent.map((step) => `${JSON.stringify(step)}\n`).join('');
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
