import { expect, it } from 'vitest';
import type { BackendName } from '#contract/worker.ts';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { createRandomModel } from '../../../../src-main/engine/model/init.ts';
import { createGenerator } from '../../../../src-main/engine/rollouts/generator.ts';
import { testBackends } from '../ops/op-check.ts';
import { collect, tinyConfigs } from './tiny-models.ts';

const requests = [5, 11].map((start) => ({
  key: `from-${start}`,
  promptIds: [start, start + 1, start + 2],
  seed: 2,
  stream: `s${start}`,
}));
const settings = { temperature: 0.8, topP: 0.9, topK: 0, maxNewTokens: 3, stopTokenIds: [], ignoreEndTokens: true, logprobs: true };

async function generate(backend: BackendName, implementation?: 'tensor') {
  await selectBackend(backend);
  // One layer: a software adapter spends seconds compiling the shaders of every new shape.
  const model = createRandomModel({ ...tinyConfigs['qwen3, grouped queries'], layers: 1 }, 6, { deviation: 0.25 });
  const generator = createGenerator(model, { slots: 2, capacity: 16, implementation });
  const results = await collect(generator, requests, settings);
  await generator.dispose();
  model.dispose();
  return { implementation: generator.implementation, results };
}

it.each(testBackends.filter((name) => name !== 'wasm'))(
  'generates by tensor operations on %s what the CPU decode engine generates',
  async (backend) => {
    const cpu = await generate('wasm');
    const other = await generate(backend, 'tensor');
    expect([cpu.implementation, other.implementation]).toEqual(['cpu', 'tensor']);
    for (const [key, { tokenIds, logprobs }] of cpu.results) {
      const result = other.results.get(key)!;
      expect(result.tokenIds).toEqual(tokenIds);
      expect(Math.max(...logprobs!.map((value, step) => Math.abs(value - result.logprobs![step]!)))).toBeLessThan(1e-4);
    }
  },
);

it('uses the CPU decode engine on wasm', async () => {
  expect((await generate('wasm')).implementation).toBe('cpu');
});
