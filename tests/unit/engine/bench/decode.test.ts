import { expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { timeDecode, timePrefill } from '../../../../src-main/engine/bench/decode.ts';
import { tinyModel } from '../rollouts/tiny-models.ts';

it('times prefill and decode of a model', async () => {
  await selectBackend('wasm');
  const model = tinyModel('qwen3, grouped queries');
  const decode = await timeDecode(model, { batch: 2, promptTokens: 6, newTokens: 10, repeats: 1 });
  expect(decode.tokensPerSecond).toBeCloseTo((1000 * 20) / decode.milliseconds, 6);
  const prefill = await timePrefill(model, { batch: 3, promptTokens: 6, repeats: 1 });
  expect(prefill.tokensPerSecond).toBeCloseTo((1000 * 18) / prefill.milliseconds, 6);
  model.dispose();
});
