/** Measures one case in this process and prints it as JSON, with the process's peak memory. Started by the bench; see cases.ts. */
import { selectBackend } from '../engine/backends/select.ts';
import { timeDecode, timePrefill } from '../engine/bench/decode.ts';
import { benchGptqLayer } from '../engine/bench/gptq.ts';
import { benchLargeGptq } from '../engine/bench/large.ts';
import { timeEngineStep, timeStockStep } from '../engine/bench/toy-training-step.ts';
import { benchGrpoStep, benchKdStep } from '../engine/bench/training-steps.ts';
import { loadModel } from '../engine/model/load.ts';

type Figure = { value: number; unit: string };

const [caseId = '', modelDir = ''] = process.argv.slice(2);
const promptTokens = 32;
const newTokens = 96;

const measures: Record<string, () => Promise<Figure>> = {
  'train-step': async () => ({ value: (await timeEngineStep({ steps: 30, warmUp: 5 })).fastestMilliseconds, unit: 'ms/step' }),
  'train-step-stock': async () => ({ value: (await timeStockStep({ steps: 3, warmUp: 1 })).fastestMilliseconds, unit: 'ms/step' }),
  'kd-step': async () => {
    await selectBackend('wasm');
    return benchKdStep(modelDir, { steps: 15 });
  },
  'grpo-step': async () => {
    await selectBackend('wasm');
    return benchGrpoStep(modelDir, { steps: 6 });
  },
  'gptq-layer': async () => {
    await selectBackend('wasm');
    return benchGptqLayer({ repeats: 3 });
  },
  'gptq-large': async () => {
    await selectBackend('wasm');
    return benchLargeGptq(modelDir, (text) => console.error(text));
  },
  load: () => bestLoad(3),
  prefill: () =>
    withModel(async (model) => ({
      value: (await timePrefill(model, { batch: 16, promptTokens: 128, repeats: 8 })).tokensPerSecond,
      unit: 'tokens/s',
    })),
  'decode-1': () => decode(1),
  'decode-64': () => decode(64),
};

const measure = measures[caseId];
if (!measure) {
  console.error(`unknown bench case "${caseId}"`);
  process.exit(2);
}
const figure = await measure();
console.log(JSON.stringify({ ...figure, peakMemoryBytes: process.resourceUsage().maxRSS * 1024 }));
process.exit(0);

function decode(batch: number): Promise<Figure> {
  return withModel(async (model) => ({
    value: (await timeDecode(model, { batch, promptTokens, newTokens, repeats: 3 })).tokensPerSecond,
    unit: 'tokens/s',
  }));
}

async function withModel(body: (model: Awaited<ReturnType<typeof loadModel>>) => Promise<Figure>): Promise<Figure> {
  await selectBackend('wasm');
  const model = await loadModel(modelDir);
  return body(model);
}

async function bestLoad(repeats: number): Promise<Figure> {
  await selectBackend('wasm');
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i <= repeats; i++) {
    const start = performance.now();
    const model = await loadModel(modelDir);
    if (i > 0) best = Math.min(best, performance.now() - start);
    model.dispose();
  }
  return { value: best, unit: 'ms' };
}
