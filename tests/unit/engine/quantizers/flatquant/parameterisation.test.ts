import { describe, expect, it } from 'vitest';
import { RandomStream } from '../../../../../src-main/engine/data/random-stream.ts';
import {
  diagonal,
  direct,
  type Parameterisation,
  singularValues,
} from '../../../../../src-main/engine/quantizers/flatquant/parameterisation.ts';
import {
  identity,
  inverse,
  product,
  randomOrthogonal,
  transposed,
} from '../../../../../src-main/engine/quantizers/flatquant/small-matrix.ts';

const stream = new RandomStream(5, 'test');
const noise = (length: number, deviation: number) => Float64Array.from({ length }, () => deviation * stream.normal());
const largest = (a: Float64Array, b: Float64Array) => a.reduce((max, value, i) => Math.max(max, Math.abs(value - b[i]!)), 0);

describe('small matrices', () => {
  it.each([1, 2, 7, 32, 128])('of %i rows: random orthogonal ones are, and inverses invert', (size) => {
    const q = randomOrthogonal(size, stream.fork(`q ${size}`));
    expect(largest(product(q, transposed(q, size), size), identity(size))).toBeLessThan(1e-13);
    const p = q.map((value) => value + (0.3 * stream.normal()) / Math.sqrt(size));
    expect(largest(product(p, inverse(p, size), size), identity(size))).toBeLessThan(1e-9);
  });

  it('swaps rows where a pivot is zero', () => {
    expect([...inverse(Float64Array.of(0, 2, 4, 0), 2)]).toEqual([0, 0.25, 0.5, 0]);
  });

  it('refuses what has no inverse', () => {
    expect(() => inverse(Float64Array.of(1, 2, 2, 4), 2)).toThrow(/singular/);
    expect(() => inverse(Float64Array.of(Number.NaN), 1)).toThrow(/singular/);
  });

  it('depend on the seed alone', () => {
    const draw = (seed: number) => randomOrthogonal(4, new RandomStream(seed, 'a'));
    expect(draw(3)).toEqual(draw(3));
    expect(draw(3)).not.toEqual(draw(4));
  });
});

/** Gradients of a fixed linear function of value and inverse, against central differences of it. */
function checkGradient(form: Parameterisation, raw: Float64Array): void {
  const [dValue, dInverse] = [noise(form.length, 1), noise(form.length, 1)];
  const loss = (values: Float64Array) => {
    const { value, inverse } = form.transform(values);
    return value.reduce((sum, v, i) => sum + v * dValue[i]! + inverse[i]! * dInverse[i]!, 0);
  };
  const gradient = form.gradient(raw, form.transform(raw), dValue, dInverse);
  const expected = raw.map((value, i) => {
    const step = 1e-6;
    return (loss(raw.with(i, value + step)) - loss(raw.with(i, value - step))) / (2 * step);
  });
  const scale = 1 + Math.max(...expected.map(Math.abs));
  expect(largest(gradient, expected) / scale).toBeLessThan(1e-7);
}

describe.each([2, 5, 8])('parameterisations of size %i', (size) => {
  const start = randomOrthogonal(size, stream.fork(`start ${size}`));

  it('direct: gives the matrix and its inverse transpose, with the gradient through the inverse', () => {
    const form = direct(start, size);
    expect(form.transform(form.initial).value).toEqual(start);
    const raw = form.initial.map((value, i) => value + noise(size * size, 0.2)[i]!);
    const { value, inverse: y } = form.transform(raw);
    expect(largest(product(value, transposed(y, size), size), identity(size))).toBeLessThan(1e-12);
    checkGradient(form, raw);
  });

  it('svd: starts at the same matrix, stays invertible, and has the gradient through both factors', () => {
    const form = singularValues(start, size);
    expect(largest(form.transform(form.initial).value, start)).toBeLessThan(1e-15);
    const raw = form.initial.map((value) => value + 0.4 * stream.normal());
    const { value, inverse: y } = form.transform(raw);
    expect(largest(product(value, transposed(y, size), size), identity(size))).toBeLessThan(1e-10);
    checkGradient(form, raw);
  });

  it('svd: with unit singular values the matrix is orthogonal', () => {
    const form = singularValues(start, size);
    const raw = form.initial.map((value, i) => (i < size * (size - 1) ? value + 0.7 * stream.normal() : value));
    const { value } = form.transform(raw);
    expect(largest(product(value, transposed(value, size), size), identity(size))).toBeLessThan(1e-13);
  });

  it('diagonal: has reciprocals for an inverse', () => {
    const raw = noise(size, 0.3).map((value) => value + 1.5);
    const form = diagonal(raw);
    expect(
      largest(
        form.transform(raw).inverse,
        raw.map((value) => 1 / value),
      ),
    ).toBe(0);
    checkGradient(form, raw);
  });
});
