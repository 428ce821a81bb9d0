/**
 * Rollouts: groups of completions sampled from the model as it is being trained, judged by the verifier. A completion depends on the weights, the
 * seed, the rollout's number, its problem and its place in the group, never on what is generated beside it.
 */
import type { RlObjective } from '#contract/training.ts';
import type { FinishReason, Verdict } from '#contract/worker.ts';
import type { LanguageModel } from '../../model/language-model.ts';
import type { ModelTokenizer } from '../../model/tokenizer.ts';
import { createGenerator } from '../../rollouts/generator.ts';
import type { GenerationRequest, GenerationResult, Generator } from '../../rollouts/settings.ts';
import { affordableSlots } from '../../rollouts/slots.ts';
import { getVerifier, type Verifier } from '../../verifiers/index.ts';
import type { Trainee } from '../trainee.ts';
import type { RlProblem } from '../training-data.ts';
import { rewardOf } from './rewards.ts';
import { roundedCopy } from './rounded-copy.ts';

export interface Completion {
  problem: RlProblem;
  /** Up to and including the first end token. */
  tokenIds: number[];
  /** Of the sampler, under softmax(logits / temperature), before top-k and top-p. */
  sampledLogProbabilities: number[];
  finishReason: FinishReason;
  verdict: Verdict;
  reward: number;
}

export interface Rollout {
  /** Groups one after the other. */
  completions: Completion[];
  elapsedMs: number;
}

export interface RolloutSource {
  objective: RlObjective;
  problems: readonly RlProblem[];
  tokenizer: Pick<ModelTokenizer, 'decode'>;
  seed: number;
  /** Of the GPU's memory, what training takes without the rollouts. */
  reservedBytes?: number;
  onLog?(message: string): void;
}

export class RolloutSampler {
  private readonly source: RolloutSource;
  private readonly verifier: Verifier;
  private readonly capacity: number;
  private generator: Generator | null = null;

  /** Throws `bad-input` for an unknown verifier. */
  constructor(source: RolloutSource) {
    const { objective, problems } = source;
    this.source = source;
    this.verifier = getVerifier(objective.verifier);
    this.capacity = problems.reduce((longest, { promptIds }) => Math.max(longest, promptIds.length), 0) + objective.maxNewTokens;
  }

  /** Rollout number `rollout` over the problems of these indices. The trainee must be ready for the step. Throws `cancelled`, `numeric`. */
  async sample(rollout: number, chosen: readonly number[], trainee: Trainee, signal?: AbortSignal): Promise<Rollout> {
    const startedAt = performance.now();
    const { model, release } = await trainee.generationModel();
    let copy: LanguageModel | null = null;
    try {
      const { rolloutScheme } = this.source.objective;
      if (rolloutScheme) copy = await roundedCopy(model, rolloutScheme, signal);
      const results = await this.generate(copy ?? model, this.requests(rollout, chosen), signal);
      const judged = results.map((result, index) => this.judge(result, chosen[Math.floor(index / this.groupSize)]!, signal));
      const completions = await Promise.all(judged);
      return { completions, elapsedMs: performance.now() - startedAt };
    } finally {
      copy?.dispose();
      release();
    }
  }

  async dispose(): Promise<void> {
    await this.disposeGenerator();
    await this.verifier.dispose?.();
  }

  private async disposeGenerator(): Promise<void> {
    const { generator } = this;
    this.generator = null;
    await generator?.dispose();
  }

  private get groupSize(): number {
    return this.source.objective.groupSize;
  }

  private requests(rollout: number, chosen: readonly number[]): GenerationRequest[] {
    const { problems, seed } = this.source;
    return chosen
      .flatMap((index) =>
        Array.from({ length: this.groupSize }, (_, sample) => ({
          key: '',
          promptIds: problems[index]!.promptIds,
          seed,
          stream: `rollout ${rollout}\u0000${problems[index]!.id}\u0000${sample}`,
        })),
      )
      .map((request, index) => ({ ...request, key: String(index) }));
  }

  /** Results in the order of the requests. */
  private async generate(model: LanguageModel, requests: GenerationRequest[], signal?: AbortSignal): Promise<GenerationResult[]> {
    const { temperature, topP, topK, maxNewTokens } = this.source.objective;
    const results = new Array<GenerationResult>(requests.length);
    const generator = await this.generatorFor(model, requests.length);
    await generator.run(
      requests,
      { temperature, topP, topK, maxNewTokens, stopTokenIds: [], logprobs: true },
      {
        ...(signal ? { signal } : {}),
        onResult: (result) => {
          results[Number(result.key)] = result;
        },
      },
    );
    return results;
  }

  /** One generator for the whole training, whose weights are exchanged: starting its threads anew takes longer than a small rollout. */
  private async generatorFor(model: LanguageModel, requests: number): Promise<Generator> {
    if (this.generator?.update(model)) return this.generator;
    await this.disposeGenerator();
    const { onLog, reservedBytes = 0 } = this.source;
    const { capacity } = this;
    const slots = await affordableSlots(model, { capacity, requests, reservedBytes, ...(onLog ? { onLog } : {}) });
    this.generator = createGenerator(model, { slots, capacity });
    if (this.generator.reason) onLog?.(this.generator.reason);
    return this.generator;
  }

  private async judge({ tokenIds, finishReason, logprobs }: GenerationResult, index: number, signal?: AbortSignal): Promise<Completion> {
    const { problems, tokenizer, objective } = this.source;
    const problem = problems[index]!;
    const completion = tokenizer.decode(finishReason === 'stop' ? tokenIds.slice(0, -1) : tokenIds);
    const { verdict } = await this.verifier.verify({ gold: problem.gold, completion, finishReason }, signal ? { signal } : {});
    const reward = rewardOf({ completion, finishReason, verdict }, objective.reward);
    return { problem, tokenIds, sampledLogProbabilities: logprobs!, finishReason, verdict, reward };
  }
}
