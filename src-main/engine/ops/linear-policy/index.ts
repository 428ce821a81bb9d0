/**
 * Output layer and the clipped policy-gradient loss of PPO and GRPO, in chunks of rows so that logits are never held for a whole batch: logits,
 * then log-probability and entropy of each token, then loss and its derivative in closed form, then gradients, all in one pass.
 */
import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import { hasKernel, runKernel } from '../kernel.ts';
import { withKnownGradients } from '../known-gradients.ts';
import { defaultChunkRows } from '../row-chunks.ts';
import { policyLoss, rowStatistics } from './composed.ts';
import './wasm.ts';
import './webgpu.ts';

/** One value per row of the hidden states. */
export interface PolicyRows {
  /** Share in the loss, as the aggregation says; 0 where a row is no token of a completion. */
  weights: tf.Tensor1D;
  advantages: tf.Tensor1D;
  /** Log-probabilities under the policy before the update; null where it is this very policy, whose ratio is exactly 1. */
  old: tf.Tensor1D | null;
  /** Log-probabilities under the policy that is held on to; null without that term. */
  reference: tf.Tensor1D | null;
  /** Factors on the surrogate for a sampler that differs from the old policy; null for 1. */
  importance: tf.Tensor1D | null;
}

export interface PolicySettings {
  /** Logits are divided by it first, as they were when the tokens were sampled. */
  temperature: number;
  /** The ratio is held within [1 − clipLow, 1 + clipHigh]. */
  clipLow: number;
  clipHigh: number;
  /** Weight of the divergence from the reference. */
  beta: number;
}

export interface LinearPolicyOptions {
  /** Rows whose logits are held at once. */
  chunkRows?: number;
  /** False where the output layer does not learn: no gradient of it is formed or held. True by default. */
  headGradient?: boolean;
  /** Takes over the log-probabilities and entropies of the rows, [rows] each, 0 where the weight is 0. Called once per forward pass. */
  onTokens?(tokens: TokenStatistics): void;
}

/** Under softmax(logits / temperature), in nats. */
export interface TokenStatistics {
  logProbabilities: tf.Tensor1D;
  entropies: tf.Tensor1D;
}

/**
 * Σ weight · (−importance · min(ρA, clip(ρ)A) + beta · (eʳ − r − 1)), ρ = exp(logp − old), r = reference − logp (TRL's GRPO; k3 after Schulman).
 * @param hidden [rows, size]
 * @param head [vocab, size], the output layer (or tied embeddings)
 * @param targets int32 [rows], the tokens that were sampled, each in [0, vocab)
 * @returns a scalar, differentiable in hidden and, with `headGradient`, head. Throws `internal` when shapes do not fit, `bad-input` for tokens outside the vocabulary.
 */
export function linearPolicy(
  hidden: tf.Tensor2D,
  head: tf.Tensor2D,
  targets: tf.Tensor1D,
  rows: PolicyRows,
  settings: PolicySettings,
  options: LinearPolicyOptions = {},
): tf.Scalar {
  checkRows(hidden.shape[0], { targets, ...rows });
  const chunkRows = Math.max(1, options.chunkRows ?? defaultChunkRows(head.shape[0]));
  const { headGradient = true, onTokens } = options;
  return withKnownGradients(headGradient ? [hidden, head] : [hidden], () => {
    const forward = hasKernel('LinearPolicy') ? kernelForward : composedForward;
    const { loss, gradients, tokens } = forward(hidden, head, targets, rows, { ...settings, chunkRows, headGradient });
    onTokens?.({ logProbabilities: tf.keep(tokens.logProbabilities), entropies: tf.keep(tokens.entropies) });
    return { loss, gradients };
  });
}

/**
 * Log-probabilities and entropies alone, without a gradient. Rows whose mask is 0 are left out and give 0. The caller disposes both.
 * @param hidden [rows, size], `head` [vocab, size], `targets` int32 [rows], `mask` [rows]
 */
export function tokenStatistics(
  hidden: tf.Tensor2D,
  head: tf.Tensor2D,
  targets: tf.Tensor1D,
  mask: tf.Tensor1D,
  { temperature, chunkRows = defaultChunkRows(head.shape[0]) }: { temperature: number; chunkRows?: number },
): TokenStatistics {
  checkRows(hidden.shape[0], { targets, mask });
  if (hasKernel('TokenStatistics')) {
    const [logProbabilities, entropies] = runKernel(
      'TokenStatistics',
      { hidden, head, targets, weights: mask },
      { temperature, chunkRows },
    );
    return { logProbabilities: logProbabilities as tf.Tensor1D, entropies: entropies as tf.Tensor1D };
  }
  const [logProbabilities, entropies] = tf.tidy((): [tf.Tensor1D, tf.Tensor1D] => {
    const chunks = rowChunks(hidden.shape[0], chunkRows).map(([start, count]) => {
      const logits = tf.matMul(tf.slice(hidden, [start, 0], [count, hidden.shape[1]]), head, false, true) as tf.Tensor2D;
      return rowStatistics(logits, tf.slice(targets, start, count), tf.slice(mask, start, count), temperature);
    });
    const all = joined(chunks);
    return [all.logProbabilities, all.entropies];
  });
  return { logProbabilities, entropies };
}

interface Result {
  loss: tf.Scalar;
  gradients: tf.Tensor[];
  tokens: TokenStatistics;
}

type Settings = PolicySettings & { chunkRows: number; headGradient: boolean };

function kernelForward(hidden: tf.Tensor2D, head: tf.Tensor2D, targets: tf.Tensor1D, rows: PolicyRows, settings: Settings): Result {
  const given = Object.fromEntries(Object.entries(rows).filter(([, values]) => values !== null)) as Record<string, tf.Tensor1D>;
  const [loss, logProbabilities, entropies, ...gradients] = runKernel('LinearPolicy', { hidden, head, targets, ...given }, { ...settings });
  const tokens = { logProbabilities: logProbabilities as tf.Tensor1D, entropies: entropies as tf.Tensor1D };
  return { loss: loss as tf.Scalar, gradients, tokens };
}

function composedForward(x: tf.Tensor2D, w: tf.Tensor2D, targets: tf.Tensor1D, rows: PolicyRows, settings: Settings): Result {
  const dHidden: tf.Tensor2D[] = [];
  const statistics: (TokenStatistics & { probabilities: tf.Tensor2D })[] = [];
  let loss = tf.scalar(0);
  let dHead = settings.headGradient ? tf.zerosLike(w) : null;
  for (const [start, count] of rowChunks(x.shape[0], settings.chunkRows)) {
    const part = <T extends tf.Tensor1D | null>(values: T) => (values ? tf.slice(values, start, count) : null) as T;
    const chunk = tf.slice(x, [start, 0], [count, x.shape[1]]);
    const chunkTargets = part(targets);
    const weights = part(rows.weights);
    const said = rowStatistics(tf.matMul(chunk, w, false, true), chunkTargets, weights, settings.temperature);
    const of = {
      ...{ weights, advantages: part(rows.advantages), old: part(rows.old) },
      ...{ reference: part(rows.reference), importance: part(rows.importance) },
    };
    const { losses, slopes } = policyLoss(said.logProbabilities, of, settings);
    loss = tf.add(loss, tf.sum(losses));
    const picked = tf.cast(tf.oneHot(chunkTargets, w.shape[0]), 'float32');
    const push = tf.reshape(tf.div(slopes, settings.temperature), [count, 1]);
    const dLogits = tf.mul(tf.sub(picked, said.probabilities), push) as tf.Tensor2D;
    dHidden.push(tf.matMul(dLogits, w));
    if (dHead) dHead = tf.add(dHead, tf.matMul(dLogits, chunk, true));
    statistics.push(said);
  }
  return { loss, gradients: [tf.concat(dHidden, 0), ...(dHead ? [dHead] : [])], tokens: joined(statistics) };
}

function joined(chunks: TokenStatistics[]): TokenStatistics {
  return {
    logProbabilities: tf.concat(chunks.map(({ logProbabilities }) => logProbabilities)),
    entropies: tf.concat(chunks.map(({ entropies }) => entropies)),
  };
}

function rowChunks(rows: number, chunkRows: number): [start: number, count: number][] {
  return Array.from({ length: Math.ceil(rows / chunkRows) }, (_, chunk) => {
    const start = chunk * chunkRows;
    return [start, Math.min(chunkRows, rows - start)];
  });
}

function checkRows(rows: number, given: Record<string, tf.Tensor1D | null>): void {
  const odd = Object.entries(given).find(([, values]) => values !== null && values.size !== rows);
  if (!odd) return;
  throw new RoundoffError('internal', `${rows} rows, but ${odd[1]!.size} ${odd[0]}`, 'Give one value per row.');
}
