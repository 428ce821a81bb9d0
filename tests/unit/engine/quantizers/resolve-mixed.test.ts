import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { quantizeStageSchema } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { decoderLinears } from '../../../../src-main/engine/model/language-model.ts';
import { loadModel } from '../../../../src-main/engine/model/load.ts';
import { loadTokenizer } from '../../../../src-main/engine/model/tokenizer.ts';
import { quantizeModel } from '../../../../src-main/engine/quantizers/quantize-model.ts';
import { resolveMixed } from '../../../../src-main/engine/quantizers/resolve-mixed.ts';

const sample = fileURLToPath(new URL('../../../../resources/sample', import.meta.url));
const calibration = { path: join(sample, 'calibration/abacus.jsonl'), samples: 4, sequenceLength: 64, seed: 0 };
const candidates = ['W2G32', 'W3G32', 'W4G32'].map(parseScheme);

describe('resolveMixed', () => {
  it('leaves other stages as they are', async () => {
    const stage = quantizeStageSchema.parse({ type: 'quantize', method: 'rtn', scheme: parseScheme('W4') });
    const never = () => Promise.reject(new Error('not needed'));
    expect(await resolveMixed(stage, { model: never, tokenizer: never, runSeed: 0, onNote: () => undefined })).toBe(stage);
  });

  it('gives every layer the width that the budget allows where it matters, which quantization then uses', async () => {
    await selectBackend('wasm');
    const model = await loadModel(join(sample, 'abacus'));
    const scheme = { ...parseScheme('W4G32'), kvBits: 8 as const };
    const mixed = { budgetBits: 3, candidates, calibration };
    const stage = quantizeStageSchema.parse({ type: 'quantize', method: 'rtn', scheme, mixed });
    const notes: string[] = [];
    const resolved = await resolveMixed(stage, {
      model: async () => model,
      tokenizer: () => loadTokenizer(join(sample, 'abacus')),
      runSeed: 1,
      onNote: (note) => notes.push(note),
    });
    expect(resolved.mixed).toBeUndefined();
    expect(resolved.scheme.kvBits).toBe(8);
    expect(resolved.overrides!.length).toBeGreaterThan(0);
    expect(notes.join()).toContain('bits per weight');
    const { packed, bitsPerWeight, activations } = await quantizeModel(model, resolved);
    expect(bitsPerWeight).toBeLessThanOrEqual(3);
    expect(new Set(decoderLinears(model.config).map((module) => packed.get(module)!.bits)).size).toBeGreaterThan(1);
    expect(activations[0]!.keys.quantizer!.bits).toBe(8);
    model.dispose();
  });
});
