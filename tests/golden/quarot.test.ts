import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../src-main/engine/backends/select.ts';
import { loadModel } from '../../src-main/engine/model/load.ts';
import { rotateGlobals, rotateLayer, rotationsFor } from '../../src-main/engine/quantizers/quarot.ts';
import { fixturePath, type GoldenName, goldenModel } from './fixtures.ts';

/** A case of make-quarot-fixtures.py. */
interface Case {
  model: GoldenName;
  layer: number;
  signs: number[];
  parameters: Record<string, { shape: number[]; values: string }>;
}

const { cases } = JSON.parse(readFileSync(fixturePath('quarot.json'), 'utf8')) as { cases: Case[] };

function floats(text: string): Float32Array {
  return new Float32Array(Uint8Array.from(Buffer.from(text, 'base64')).buffer);
}

beforeAll(async () => {
  await selectBackend('wasm');
});

describe('QuaRot against dense matrices in NumPy, float64', () => {
  it.each(cases)('rotates the parameters of $model, layer $layer', async ({ model: name, layer, signs, parameters }) => {
    const model = await loadModel(goldenModel(name).dir);
    const drawn = rotationsFor(model.config, 0, () => undefined);
    const rotations = { ...drawn, residual: { ...drawn.residual, signs: Float64Array.from(signs) } };
    const { parameters: globals, untied } = await rotateGlobals(model, rotations);
    const changed = new Map([...globals, ...(await rotateLayer(model, layer, rotations))]);
    expect(untied).toBe(true);
    expect(Object.keys(parameters).length).toBeGreaterThan(2);
    for (const [parameter, { shape, values }] of Object.entries(parameters)) {
      const actual = changed.get(parameter)!;
      expect(actual.shape, parameter).toEqual(shape);
      const expected = floats(values);
      // Both are float64 results rounded once: at most neighbours, where a value lies between two floats or cancels to almost nothing.
      const worst = expected.reduce((most, value, i) => {
        const difference = Math.abs(actual.values[i]! - value);
        return Math.max(most, difference / (2 ** -23 * Math.abs(value) + 1e-14));
      }, 0);
      expect(worst, parameter).toBeLessThanOrEqual(1);
      expect(await model.parameter(parameter).data(), `${parameter} of the model`).toEqual(actual.values);
    }
    model.dispose();
  });
});
