/** The bundled model itself, through the same path a study takes. */
import { join, resolve } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import type { SampleResult } from '#contract/worker.ts';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { evaluateModel } from '../../../../src-main/engine/benchmarks/index.ts';
import { inspectModel } from '../../../../src-main/engine/model/inspect.ts';
import { loadModel } from '../../../../src-main/engine/model/load.ts';
import { parameterCount } from '../../../../src-main/engine/model/parameters.ts';
import { loadTokenizer } from '../../../../src-main/engine/model/tokenizer.ts';
import { abacusConfig, tasks } from '../../../../src-main/engine/sample/index.ts';

const sampleDir = resolve(import.meta.dirname, '../../../../resources/sample');
const modelDir = join(sampleDir, 'abacus');

beforeAll(async () => {
  await selectBackend('wasm');
});

test('the bundled Abacus is sound and of the documented size', async () => {
  const inspection = await inspectModel(modelDir);
  expect(inspection.problems).toEqual([]);
  expect(inspection.parameters).toBe(parameterCount(abacusConfig));
  expect(inspection.chatTemplate).toBe(true);
  expect(inspection.sizeBytes).toBeLessThan(8 * 1024 * 1024);
});

test('it is near perfect on the easiest benchmark and has something to lose on the hardest', async () => {
  const model = await loadModel(modelDir);
  const samples: SampleResult[] = [];
  const protocol = {
    temperature: 0.6,
    topP: 0.95,
    topK: 0,
    maxNewTokens: 192,
    seeds: [1, 2],
    systemPrompt: null,
    promptTemplate: '{question}',
    verifier: 'maths-1',
    problemsPerBenchmark: 60,
  };
  const named = [tasks[0]!, tasks.at(-1)!].map(({ name }) => ({ name, path: join(sampleDir, 'benchmarks', `${name}.jsonl`) }));
  await evaluateModel(
    { model, tokenizer: await loadTokenizer(modelDir), protocol, benchmarks: named },
    { onSample: (sample) => samples.push(sample) },
  );
  model.dispose();
  const accuracy = (name: string) => {
    const mine = samples.filter((sample) => sample.benchmark === name);
    expect(mine).toHaveLength(120);
    return mine.filter((sample) => sample.verdict === 'correct').length / mine.length;
  };
  expect(accuracy('abacus-sums')).toBeGreaterThanOrEqual(0.95);
  expect(accuracy('abacus-chains')).toBeGreaterThan(0.4);
  expect(accuracy('abacus-chains')).toBeLessThan(0.75);
  for (const sample of samples) expect(sample.finishReason).toBe('stop');
});
