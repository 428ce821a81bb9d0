/** A rollout cut into the micro-batches that are learnt from, and the per-token values each of them needs. */
import * as tf from '@tensorflow/tfjs-core';
import type { RlObjective } from '#contract/training.ts';
import type { PolicyRows } from '../../ops/index.ts';
import { packBatch, type TrainingBatch } from '../examples.ts';
import { groupAdvantages } from './advantages.ts';
import { tokenWeights } from './aggregation.ts';
import { importanceWeights } from './importance.ts';
import type { Completion } from './rollout.ts';

/** One completion as it is learnt from. */
export interface LearningSequence {
  completion: Completion;
  ids: number[];
  promptLength: number;
  advantage: number;
  counts: boolean;
  /** Log-probabilities of its tokens before the update, and under the reference, where they are needed. */
  old: Float64Array | null;
  reference: Float64Array | null;
}

export interface LearningBatch {
  sequences: LearningSequence[];
  /** Per token, by sequence. */
  weights: number[];
}

/** Micro-batches of sequences of similar length. Equal lengths keep the rollout's order. */
export function learningBatches(completions: readonly Completion[], batchSize: number, objective: RlObjective): LearningBatch[] {
  const rewards = completions.map(({ reward }) => reward);
  const { values } = groupAdvantages(rewards, objective.groupSize, objective);
  const sequences = completions.map((completion, index): LearningSequence => {
    const { promptIds } = completion.problem;
    const counts = !(objective.maskTruncated && completion.finishReason === 'length');
    const ids = [...promptIds, ...completion.tokenIds];
    return { completion, ids, promptLength: promptIds.length, advantage: values[index]!, counts, old: null, reference: null };
  });
  sequences.sort((a, b) => a.ids.length - b.ids.length);
  const cut = Array.from({ length: Math.ceil(sequences.length / batchSize) }, (_, micro) =>
    sequences.slice(micro * batchSize, (micro + 1) * batchSize),
  );
  const counted = cut.map((micro) => micro.map(({ completion, counts }) => ({ length: completion.tokenIds.length, counts })));
  const weights = tokenWeights(counted, objective);
  return cut.map((micro, index) => ({ sequences: micro, weights: weights[index]! }));
}

/** The padded tensors of a micro-batch; the mask is 1 at the tokens of completions. The caller disposes them. */
export function packLearning({ sequences }: LearningBatch, padTokenId: number): TrainingBatch {
  return packBatch(
    sequences.map(({ ids, promptLength }) => ({ ids, lossStart: promptLength })),
    padTokenId,
  );
}

/** Rows of the padded batch, in the order of its targets. The caller disposes them. */
export function policyRows(batch: LearningBatch, objective: Pick<RlObjective, 'importance' | 'updatesPerRollout'>): PolicyRows {
  const { sequences, weights } = batch;
  const rows = (values: (sequence: LearningSequence, index: number, token: number) => number) => tf.tensor1d(spread(batch, values));
  const corrections = sequences.map(({ old, completion }) =>
    objective.importance.kind === 'none' ? null : importanceWeights(old!, completion.sampledLogProbabilities, objective.importance),
  );
  return {
    weights: rows((_, index) => weights[index]!),
    advantages: rows(({ advantage }) => advantage),
    // With one update the policy before it is the present one, whose ratio is exactly 1 and needs no recorded values.
    old: objective.updatesPerRollout > 1 ? rows(({ old }, _, token) => old![token]!) : null,
    reference: sequences[0]!.reference ? rows(({ reference }, _, token) => reference![token]!) : null,
    importance: corrections[0] ? rows((_, index, token) => corrections[index]![token]!) : null,
  };
}

export function disposeRows(rows: PolicyRows): void {
  tf.dispose(Object.values(rows).filter((values) => values !== null));
}

/** Visits the rows of the padded batch that belong to completions, with the place of each. */
export function eachToken(
  { sequences }: LearningBatch,
  visit: (sequence: LearningSequence, index: number, token: number, row: number) => void,
): void {
  const width = Math.max(...sequences.map(({ ids }) => ids.length)) - 1;
  for (const [index, sequence] of sequences.entries()) {
    const first = index * width + sequence.promptLength - 1;
    for (let token = 0; token < sequence.completion.tokenIds.length; token++) visit(sequence, index, token, first + token);
  }
}

function spread(batch: LearningBatch, values: (sequence: LearningSequence, index: number, token: number) => number): Float32Array {
  const width = Math.max(...batch.sequences.map(({ ids }) => ids.length)) - 1;
  const rows = new Float32Array(batch.sequences.length * width);
  eachToken(batch, (sequence, index, token, row) => {
    rows[row] = values(sequence, index, token);
  });
  return rows;
}
