/**
 * Prepares a layer's Hessian for GPTQ: dead inputs, optional descending-diagonal order, damping with retry, inverse factor.
 * Linears that read the same input (q, k, v; gate, up) share one factor. Source: Frantar et al. 2022, IST-DASLab/gptq.
 */
import { RoundoffError } from '#contract/errors.ts';
import { inverseUpperFactor } from './inverse-factor.ts';

export interface GptqFactor {
  inFeatures: number;
  /** Upper U with UᵀU = (H + damping)⁻¹, [in, in] in walking order. */
  upper: Float64Array;
  /** Input visited at each step; null when inputs are visited as stored. */
  order: Int32Array | null;
  /** [in], 1 where calibration never activated the input. */
  dead: Uint8Array;
  /** Damping that succeeded, as a share of the mean diagonal. */
  dampPercent: number;
}

/** No damping makes the Hessian positive definite. */
export class IndefiniteHessian extends RoundoffError {
  constructor() {
    super(
      'numeric',
      'The calibration Hessian is not positive definite at any damping below 1.',
      'Use more and more varied calibration text; if the model gives extreme activations, inspect it.',
    );
  }
}

/** Added to the damping after each failed factorisation (GPTQModel's step). */
const dampStep = 0.01;

/**
 * Factors H = (2/N)·XᵀX [in, in]. A matrix that is not positive definite at `dampPercent` is retried from a fresh copy with .01 more.
 * Throws `numeric` when H is not finite, and `IndefiniteHessian` when no damping below 1 helps.
 */
export function factorHessian(hessian: Float64Array, inFeatures: number, options: { actOrder: boolean; dampPercent: number }): GptqFactor {
  requireFinite(hessian);
  const dead = new Uint8Array(inFeatures);
  const diagonal = Float64Array.from({ length: inFeatures }, (_, input) => hessian[input * inFeatures + input]!);
  for (let input = 0; input < inFeatures; input++) {
    if (diagonal[input] !== 0) continue;
    dead[input] = 1;
    diagonal[input] = 1;
  }
  const order = options.actOrder ? descendingOrder(diagonal) : null;
  const mean = diagonal.reduce((sum, value) => sum + value, 0) / inFeatures;
  for (let dampPercent = options.dampPercent; dampPercent < 1; dampPercent += dampStep) {
    const damped = permuteSymmetric(hessian, inFeatures, order);
    for (let step = 0; step < inFeatures; step++) {
      damped[step * inFeatures + step] = diagonal[order ? order[step]! : step]! + dampPercent * mean;
    }
    const upper = inverseUpperFactor(damped, inFeatures);
    if (upper) return { inFeatures, upper, order, dead, dampPercent };
  }
  throw new IndefiniteHessian();
}

function requireFinite(hessian: Float64Array): void {
  let finite = 0;
  for (let i = 0; i < hessian.length; i++) finite += hessian[i]! * 0;
  if (finite === 0) return;
  throw new RoundoffError(
    'numeric',
    'The calibration inputs of this linear are NaN or infinite.',
    'An earlier layer overflows on this text; check the model with "model inspect" and evaluate it unquantized first.',
  );
}

/** Inputs by falling diagonal; equal ones keep their order. */
function descendingOrder(diagonal: Float64Array): Int32Array {
  return Int32Array.from(diagonal.keys()).sort((a, b) => diagonal[b]! - diagonal[a]! || a - b);
}

function permuteSymmetric(matrix: Float64Array, n: number, order: Int32Array | null): Float64Array {
  if (!order) return matrix.slice();
  const permuted = new Float64Array(n * n);
  for (let row = 0; row < n; row++) {
    const source = order[row]! * n;
    for (let column = 0; column < n; column++) permuted[row * n + column] = matrix[source + order[column]!]!;
  }
  return permuted;
}
