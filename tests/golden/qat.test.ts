/** Quantization-aware training against PyTorch: loss and gradients of the same start on the same rows, made by make-qat-fixtures.py. */
import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseScheme } from '#contract/scheme.ts';
import { selectBackend } from '../../src-main/engine/backends/select.ts';
import { lossAndGradients, type Trainee } from '../../src-main/engine/training/index.ts';
import { valuesOf } from '../support/test-backend.ts';
import { testBackends } from '../unit/engine/ops/op-check.ts';
import { gradientsOf, microBatch, quantizedFolder, traineeOf } from '../unit/engine/training/trainees/support.ts';
import { fixturePath, goldenModel } from './fixtures.ts';

interface Case {
  kind: 'quantized' | 'lora';
  scheme?: string;
  scales?: 'live' | 'frozen';
  activations?: number;
  loss: number;
  /** Norm and first values, by name. */
  gradients: Record<string, { norm: number; values: number[] }>;
}

const { rank, alpha, cases } = JSON.parse(readFileSync(fixturePath('qat.json'), 'utf8')) as { rank: number; alpha: number; cases: Case[] };

async function startOf({ kind, scheme, scales }: Case): Promise<Trainee> {
  if (kind === 'quantized') return traineeOf(goldenModel('qwen3-tied').dir, { trains: { kind, scheme: parseScheme(scheme!), scales } });
  const trainee = await traineeOf(await quantizedFolder('nf4', 'NF4'), { trains: { kind, rank, alpha, dropout: 0 } });
  // The script's own matrices, so that both sides of the update have gradients.
  for (const [index, { name, variable }] of trainee.parameters.entries()) {
    const module = Math.floor(index / 2);
    const value = (i: number) => (name.includes('lora_A') ? 0.2 * Math.sin(module + 0.7 * i) : 0.1 * Math.cos(module + 1.3 * i));
    variable.assign(
      tf.tensor(
        Float32Array.from({ length: variable.size }, (_, i) => value(i)),
        variable.shape,
      ),
    );
  }
  return trainee;
}

describe.each(testBackends)('on %s, loss and gradients equal those of torch', (backend) => {
  beforeAll(() => selectBackend(backend));

  it.each(cases)('$kind $scheme $scales', async (reference) => {
    const trainee = await startOf(reference);
    const micro = microBatch();
    const { loss, gradients: leaves } = lossAndGradients(trainee, micro, null);
    micro.dispose();
    tf.dispose(leaves);
    // A token's code may round the other way in float32, which moves what comes after by a step of the grid.
    const tolerance = reference.activations ? 2e-3 : 1e-4;
    expect(Math.abs((await valuesOf(loss))[0]! - reference.loss)).toBeLessThan(tolerance * reference.loss);
    const gradients = await gradientsOf(trainee);
    for (const [name, { norm, values }] of Object.entries(reference.gradients)) {
      const actual = gradients.get(name)!;
      const actualNorm = Math.sqrt(actual.reduce((sum, value) => sum + value * value, 0));
      expect(Math.abs(actualNorm - norm), `norm of ${name}`).toBeLessThan(tolerance * norm);
      const largest = Math.max(...values.map(Math.abs));
      for (const [index, value] of values.entries())
        expect(Math.abs(actual[index]! - value), `${name}[${index}]`).toBeLessThan(tolerance * largest);
    }
    trainee.dispose();
  });
});

it('the fixture has gradients that frozen scales stop', () => {
  const frozen = cases.filter(({ scales }) => scales === 'frozen');
  const zeros = frozen.flatMap(({ gradients }) => Object.values(gradients).flatMap(({ values }) => values.filter((value) => value === 0)));
  expect(zeros.length).toBeGreaterThan(0);
});
