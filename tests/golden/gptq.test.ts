import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { decodeCode, type Grid } from '../../src-main/engine/observers/grid.ts';
import { observeWeight } from '../../src-main/engine/observers/weight-observer.ts';
import { solveGptq } from '../../src-main/engine/quantizers/gptq.ts';
import { factorHessian } from '../../src-main/engine/quantizers/gptq-factor.ts';
import { encodeOnGrid } from '../../src-main/engine/quantizers/rtn.ts';
import { hessianOf, outputErrorOf } from '../unit/engine/quantizers/matrices.ts';
import { fixturePath } from './fixtures.ts';

/** A case of make-gptq-fixtures.py. */
interface Case {
  method: 'gptq' | 'rtn';
  data: 'plain' | 'silenced';
  bits: 2 | 3 | 4 | 8;
  group: number;
  grid: Grid;
  mse: boolean;
  act_order: boolean;
  static: boolean;
  codes: string;
  scales: string;
  zeros: string;
  groupOf: number[];
  outputError: number;
}

const fixture = JSON.parse(readFileSync(fixturePath('gptq.json'), 'utf8'));
const { outFeatures, inFeatures } = fixture as { outFeatures: number; inFeatures: number };
const shape = { outFeatures, inFeatures };
const weight = floats(fixture.weight);
const inputs: Record<Case['data'], Float32Array> = { plain: floats(fixture.inputs.plain), silenced: floats(fixture.inputs.silenced) };

function bytes(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'base64'));
}

function floats(text: string): Float32Array {
  return new Float32Array(bytes(text).buffer);
}

function share(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  return Array.from(a).filter((value, index) => value === b[index]).length / a.length;
}

/** Output error of codes whose input i belongs to group `groupOf[i]`. */
function outputError(part: Case, codes: Uint8Array, scales: Float32Array, zeros: Uint8Array): number {
  const groups = scales.length / outFeatures;
  const quantized = Float32Array.from(codes, (code, index) => {
    const group = Math.floor(index / inFeatures) * groups + part.groupOf[index % inFeatures]!;
    return decodeCode(code, scales[group]!, zeros[group]!);
  });
  return outputErrorOf(inputs[part.data], weight, quantized, inFeatures);
}

const cases: Case[] = fixture.cases;
const agreement = { codes: [] as number[], errorRatios: [] as number[] };
afterAll(() => {
  const { codes, errorRatios } = agreement;
  console.log(
    `identical codes: at least ${Math.min(...codes)} of a case; output error ÷ reference: ${Math.min(...errorRatios)} to ${Math.max(...errorRatios)}`,
  );
});

function compare(part: Case, codes: Uint8Array, scales: Float32Array, zeros: Uint8Array): void {
  const identical = share(codes, bytes(part.codes));
  const ratio = outputError(part, codes, scales, zeros) / part.outputError;
  agreement.codes.push(identical);
  agreement.errorRatios.push(ratio);
  expect(identical).toBeGreaterThanOrEqual(0.99);
  expect(ratio).toBeCloseTo(1, 2);
}

const title = 'W$bits group $group $grid act_order=$act_order static=$static mse=$mse ($data)';

describe('GPTQ against the NumPy reference in float64', () => {
  it.each(cases.filter((part) => part.method === 'gptq'))(title, async (part) => {
    const hessian = hessianOf(inputs[part.data], inFeatures);
    const factor = factorHessian(hessian, inFeatures, { actOrder: part.act_order, dampPercent: 0.01 });
    const result = await solveGptq(weight, shape, factor, {
      bits: part.bits,
      grid: part.grid,
      mseSearch: part.mse,
      scaleType: 'float16',
      groupSize: part.group,
      staticGroups: part.static,
      blockSize: 32,
    });
    compare(part, result.codes, result.scales, result.zeros);
    expect(share(result.scales, floats(part.scales))).toBeGreaterThanOrEqual(0.99);
    if (result.groupIndex) expect(Array.from(result.groupIndex)).toEqual(part.groupOf);
  });
});

describe('round-to-nearest against the NumPy reference in float64', () => {
  it.each(cases.filter((part) => part.method === 'rtn'))(title, (part) => {
    const settings = { bits: part.bits, grid: part.grid, mseSearch: part.mse, scaleType: 'float16' as const };
    const qparams = observeWeight(weight, shape, part.group, settings);
    const codes = encodeOnGrid(weight, shape, part.group, qparams, part.bits);
    compare(part, codes, qparams.scales, qparams.zeros);
    expect(share(qparams.scales, floats(part.scales))).toBe(1);
    expect(qparams.zeros).toEqual(bytes(part.zeros));
  });
});
