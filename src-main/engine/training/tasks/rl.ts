/**
 * Reinforcement learning from verified answers (GRPO, Dr.GRPO, RLOO): a rollout, rewards, advantages, then one or more updates by the clipped
 * policy loss. Every step learns from the whole rollout, in micro-batches of completions of similar length; those that cannot move the policy
 * are only looked at.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { RlObjective } from '#contract/training.ts';
import { throwIfCancelled } from '../../data/cancellation.ts';
import type { LanguageModel } from '../../model/language-model.ts';
import type { ModelTokenizer } from '../../model/tokenizer.ts';
import { linearPolicy, type TokenStatistics, tokenStatistics } from '../../ops/index.ts';
import { disposeBatch } from '../examples.ts';
import { groupAdvantages } from '../rl/advantages.ts';
import {
  disposeRows,
  eachToken,
  type LearningBatch,
  learningBatches,
  packLearning,
  partByGradient,
  policyRows,
  tokensRead,
} from '../rl/learning-batch.ts';
import { PolicyMetrics, rolloutMetrics } from '../rl/policy-metrics.ts';
import { ProblemOrder } from '../rl/problem-order.ts';
import { type Rollout, RolloutSampler } from '../rl/rollout.ts';
import type { MicroBatch, TrainingTask } from '../task.ts';
import type { Trainee } from '../trainee.ts';
import type { RlProblem } from '../training-data.ts';

export interface RlTaskOptions {
  objective: RlObjective;
  problems: readonly RlProblem[];
  tokenizer: Pick<ModelTokenizer, 'decode'>;
  /** Completions per micro-batch. */
  batchSize: number;
  padTokenId: number;
  seed: number;
  /** The policy at the start, for `beta` above 0; the task frees it. */
  reference: LanguageModel | null;
  /** Of the GPU's memory, what training takes without the rollouts. */
  reservedBytes?: number;
  onLog?(message: string): void;
}

/** A model whose tokens are asked for their log-probabilities. */
type Policy = Pick<Trainee, 'forward' | 'headWeight'>;

/** Steps without any difference in reward after which it is said that nothing is learnt. */
const patience = 20;

export class RlTask implements TrainingTask {
  private readonly options: RlTaskOptions;
  private readonly order: ProblemOrder;
  private readonly sampler: RolloutSampler;
  private current: { number: number; batches: LearningBatch[]; metrics: Record<string, number> } | null = null;
  private learnt: { batch: LearningBatch; tokens: TokenStatistics }[] = [];
  private flatRollouts = 0;
  private readonly warned = new Set<string>();

  /** Throws `dataset-invalid` when there are fewer problems than a step takes, `bad-input` for an unknown verifier. */
  constructor(options: RlTaskOptions) {
    this.options = options;
    const { problems, objective, seed } = options;
    this.order = new ProblemOrder(problems.length, objective.promptsPerStep, seed);
    this.sampler = new RolloutSampler(options);
  }

  async microBatches(step: number, trainee: Trainee, signal?: AbortSignal): Promise<MicroBatch[]> {
    const number = Math.floor(step / this.options.objective.updatesPerRollout);
    this.forgetTokens();
    if (this.current?.number !== number) await this.begin(number, trainee, signal);
    const parts = this.current!.batches.map((batch) => partByGradient(batch, this.options.objective));
    for (const { rest } of parts) {
      throwIfCancelled(signal, 'Training');
      if (rest.sequences.length > 0) this.learnt.push({ batch: rest, tokens: this.statistics(rest, trainee) });
    }
    return parts.map(({ learning, rest }) => this.microBatch(learning, rest));
  }

  async metrics(): Promise<Record<string, number>> {
    const policy = new PolicyMetrics(this.options.objective);
    for (const { batch, tokens } of this.learnt) policy.add(batch, await tokens.logProbabilities.data(), await tokens.entropies.data());
    this.forgetTokens();
    return { ...this.current?.metrics, ...policy.read() };
  }

  canResumeAt(step: number): boolean {
    return step % this.options.objective.updatesPerRollout === 0;
  }

  async dispose(): Promise<void> {
    this.forgetTokens();
    this.options.reference?.dispose();
    await this.sampler.dispose();
  }

  private async begin(number: number, trainee: Trainee, signal?: AbortSignal): Promise<void> {
    const { objective, batchSize, reference } = this.options;
    this.current = null;
    const rollout = await this.sampler.sample(number, this.order.problems(number), trainee, signal);
    const batches = learningBatches(rollout.completions, batchSize, objective);
    for (const batch of batches) {
      throwIfCancelled(signal, 'Training');
      if (objective.updatesPerRollout > 1 || objective.importance.kind !== 'none') await this.remember(batch, 'old', trainee);
      if (reference)
        await this.remember(batch, 'reference', {
          forward: (ids, { lengths }) => reference.forward(ids, { lengths }),
          headWeight: () => reference.headWeight(),
        });
    }
    const rewards = rollout.completions.map(({ reward }) => reward);
    const { zeroDeviationShare } = groupAdvantages(rewards, objective.groupSize, objective);
    this.current = { number, batches, metrics: rolloutMetrics(rollout, zeroDeviationShare) };
    this.warn(rollout, zeroDeviationShare);
  }

  /** Keeps the log-probabilities of the batch's tokens under a model. */
  private async remember(batch: LearningBatch, as: 'old' | 'reference', model: Policy): Promise<void> {
    const { logProbabilities, entropies } = this.statistics(batch, model);
    const values = await logProbabilities.data();
    tf.dispose([logProbabilities, entropies]);
    for (const sequence of batch.sequences) sequence[as] = new Float64Array(sequence.completion.tokenIds.length);
    eachToken(batch, (sequence, _, token, row) => {
      sequence[as]![token] = values[row]!;
    });
  }

  /** Of the batch's tokens under a model, by row, without a gradient and without dropout. The caller disposes them. */
  private statistics(batch: LearningBatch, model: Policy): TokenStatistics {
    const packed = packLearning(batch, this.options.padTokenId);
    try {
      const [logProbabilities, entropies] = tf.tidy((): [tf.Tensor1D, tf.Tensor1D] => {
        const states = model.forward(packed.inputs, { dropoutSeed: null, lengths: packed.lengths });
        const hidden = tf.reshape(states, [-1, states.shape[2]]) as tf.Tensor2D;
        const said = tokenStatistics(hidden, model.headWeight(), packed.targets, packed.mask, this.options.objective);
        return [said.logProbabilities, said.entropies];
      });
      return { logProbabilities, entropies };
    } finally {
      disposeBatch(packed);
    }
  }

  private microBatch(batch: LearningBatch, rest: LearningBatch): MicroBatch {
    const { objective, padTokenId } = this.options;
    const packed = packLearning(batch, padTokenId);
    const rows = policyRows(batch, objective);
    return {
      inputs: packed.inputs,
      lengths: packed.lengths,
      tokens: tokensRead(batch) + tokensRead(rest),
      loss: (hidden, head, options) =>
        linearPolicy(hidden, head, packed.targets, rows, objective, {
          ...options,
          onTokens: (tokens) => this.learnt.push({ batch, tokens }),
        }),
      dispose: () => {
        disposeBatch(packed);
        disposeRows(rows);
      },
    };
  }

  private forgetTokens(): void {
    for (const { tokens } of this.learnt) tf.dispose([tokens.logProbabilities, tokens.entropies]);
    this.learnt = [];
  }

  private warn({ completions }: Rollout, zeroDeviationShare: number): void {
    this.flatRollouts = zeroDeviationShare === 1 ? this.flatRollouts + 1 : 0;
    const say = (message: string) => {
      if (!this.warned.has(message)) this.options.onLog?.(message);
      this.warned.add(message);
    };
    if (this.flatRollouts * this.options.objective.updatesPerRollout >= patience)
      say(
        `For ${patience} steps running all completions of each group earned the same reward, so nothing was learnt. ` +
          'Use easier or harder problems, a higher temperature, or start from a better model.',
      );
    if (completions.every(({ finishReason }) => finishReason === 'length'))
      say('All completions of a step were cut at the token limit. Raise maxNewTokens, or start from a model that ends its answers.');
  }
}
