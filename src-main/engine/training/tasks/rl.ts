/**
 * Reinforcement learning from verified answers (GRPO, Dr.GRPO, RLOO): a rollout, rewards, advantages, then one or more updates by the clipped
 * policy loss. Every step learns from the whole rollout, in micro-batches of completions of similar length.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { RlObjective } from '#contract/training.ts';
import { throwIfCancelled } from '../../data/cancellation.ts';
import type { LanguageModel } from '../../model/language-model.ts';
import type { ModelTokenizer } from '../../model/tokenizer.ts';
import { linearPolicy, type TokenStatistics, tokenStatistics } from '../../ops/index.ts';
import { disposeBatch, type TrainingBatch } from '../examples.ts';
import { groupAdvantages } from '../rl/advantages.ts';
import { disposeRows, eachToken, type LearningBatch, learningBatches, packLearning, policyRows } from '../rl/learning-batch.ts';
import { PolicyMetrics, rolloutMetrics } from '../rl/policy-metrics.ts';
import { ProblemOrder } from '../rl/problem-order.ts';
import { type Rollout, RolloutSampler } from '../rl/rollout.ts';
import type { MicroBatch, TrainingTask } from '../task.ts';
import type { Trainee } from '../trainee.ts';
import type { RlProblem } from '../training-data.ts';

export interface RlTaskOptions {
  objective: RlObjective;
  problems: readonly RlProblem[];
  tokenizer: ModelTokenizer;
  /** Completions per micro-batch. */
  batchSize: number;
  padTokenId: number;
  seed: number;
  /** The policy at the start, for `beta` above 0; the task frees it. */
  reference: LanguageModel | null;
  onLog?(message: string): void;
}

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
    const { batches } = this.current!;
    // Completions that do not count take no part; where none does, the step still needs a loss, which is 0.
    const counting = batches.filter(({ weights }) => weights.some((weight) => weight > 0));
    return (counting.length > 0 ? counting : batches.slice(0, 1)).map((batch) => this.microBatch(batch));
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
        await this.remember(batch, 'reference', { forward: (ids) => reference.forward(ids), headWeight: () => reference.headWeight() });
    }
    const rewards = rollout.completions.map(({ reward }) => reward);
    const { zeroDeviationShare } = groupAdvantages(rewards, objective.groupSize, objective);
    this.current = { number, batches, metrics: rolloutMetrics(rollout, zeroDeviationShare) };
    this.warn(rollout, zeroDeviationShare);
  }

  /** Log-probabilities of the batch's tokens under a model, without a gradient and without dropout. */
  private async remember(batch: LearningBatch, as: 'old' | 'reference', model: Pick<Trainee, 'forward' | 'headWeight'>): Promise<void> {
    const packed = packLearning(batch, this.options.padTokenId);
    const [logProbabilities, entropies] = tf.tidy((): [tf.Tensor, tf.Tensor] => {
      const states = model.forward(packed.inputs, { dropoutSeed: null });
      const hidden = tf.reshape(states, [-1, states.shape[2]]) as tf.Tensor2D;
      const said = tokenStatistics(hidden, model.headWeight(), packed.targets, packed.mask, this.options.objective);
      return [said.logProbabilities, said.entropies];
    });
    const values = await logProbabilities.data();
    tf.dispose([logProbabilities, entropies]);
    disposeBatch(packed);
    for (const sequence of batch.sequences) sequence[as] = new Float64Array(sequence.completion.tokenIds.length);
    eachToken(batch, (sequence, _, token, row) => {
      sequence[as]![token] = values[row]!;
    });
  }

  private microBatch(batch: LearningBatch): MicroBatch {
    const { objective, padTokenId } = this.options;
    const packed: TrainingBatch = packLearning(batch, padTokenId);
    const rows = policyRows(batch, objective);
    return {
      inputs: packed.inputs,
      tokens: packed.tokens,
      loss: (hidden, head) =>
        linearPolicy(hidden, head, packed.targets, rows, objective, { onTokens: (tokens) => this.learnt.push({ batch, tokens }) }),
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
