/** A rollout cut into the micro-batches that are learnt from, and the per-token values each of them needs. */
import * as tf from '@tensorflow/tfjs-core';
import type { RlObjective } from '#contract/training.ts';
import { type PolicyRows, packedRowsPay } from '../../ops/index.ts';
import { packBatch, packRow, sequenceStarts, type TrainingBatch } from '../examples.ts';
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
  /** Whether the sequences lie one after the other in a single row, without padding. */
  packs: boolean;
}

/** Micro-batches of sequences of similar length, packed where that pays. Equal lengths keep the rollout's order. */
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
  const packs = packedRowsPay();
  return cut.map((micro, index) => ({ sequences: micro, weights: weights[index]!, packs }));
}

/**
 * The sequences a gradient can come from, and the others that count, of which only figures are wanted: without a reference a sequence whose
 * advantage is 0 (its whole group earned the same) moves nothing. The first part is never empty, so that a step keeps the number of its micro-batches.
 */
export function partByGradient(
  batch: LearningBatch,
  { beta }: Pick<RlObjective, 'beta'>,
): { learning: LearningBatch; rest: LearningBatch } {
  const { sequences, weights, packs } = batch;
  const moves = sequences.map(({ advantage }, index) => weights[index]! > 0 && (advantage !== 0 || beta > 0));
  // The shortest costs least.
  if (!moves.includes(true)) moves[0] = true;
  const part = (belongs: (index: number) => boolean): LearningBatch => ({
    sequences: sequences.filter((_, index) => belongs(index)),
    weights: weights.filter((_, index) => belongs(index)),
    packs,
  });
  return { learning: part((index) => moves[index]!), rest: part((index) => !moves[index] && weights[index]! > 0) };
}

/** The tensors of a micro-batch; the mask is 1 at the tokens of completions. The caller disposes them. */
export function packLearning({ sequences, packs }: LearningBatch, padTokenId: number): TrainingBatch {
  const examples = sequences.map(({ ids, promptLength }) => ({ ids, lossStart: promptLength }));
  return packs ? packRow(examples) : packBatch(examples, padTokenId);
}

/** Rows of the batch, in the order of its targets. The caller disposes them. */
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

/** Visits the rows of the batch that belong to completions, with the place of each. */
export function eachToken(
  batch: LearningBatch,
  visit: (sequence: LearningSequence, index: number, token: number, row: number) => void,
): void {
  const { starts } = arrangement(batch);
  for (const [index, sequence] of batch.sequences.entries()) {
    const first = starts[index]! + sequence.promptLength - 1;
    for (let token = 0; token < sequence.completion.tokenIds.length; token++) visit(sequence, index, token, first + token);
  }
}

/** Each sequence's last token is predicted only. */
export function tokensRead({ sequences }: LearningBatch): number {
  return sequences.reduce((sum, { ids }) => sum + ids.length - 1, 0);
}

function spread(batch: LearningBatch, values: (sequence: LearningSequence, index: number, token: number) => number): Float32Array {
  const rows = new Float32Array(arrangement(batch).rows);
  eachToken(batch, (sequence, index, token, row) => {
    rows[row] = values(sequence, index, token);
  });
  return rows;
}

/** As `packLearning` lays them. */
function arrangement({ sequences, packs }: LearningBatch): { starts: number[]; rows: number } {
  return sequenceStarts(
    sequences.map(({ ids }) => ids.length - 1),
    packs,
  );
}
