/**
 * Evaluates a model on benchmarks under a protocol: one completion per problem and seed, all of them in one continuously batched
 * generation. A completion's randomness is keyed by its benchmark, problem and seed, so that its result depends neither on what
 * is generated beside it nor on where an interrupted evaluation was resumed.
 */
import type { ProblemKind } from '#contract/benchmarks.ts';
import { completeProtocol } from '#contract/prompt-templates.ts';
import type { BenchmarkReference, EvaluationProtocol } from '#contract/protocol.ts';
import { type EvaluateSummary, type SampleResult, sampleKey } from '#contract/worker.ts';
import { throwIfCancelled } from '../data/cancellation.ts';
import type { LanguageModel } from '../model/language-model.ts';
import type { ModelTokenizer } from '../model/tokenizer.ts';
import { createGenerator } from '../rollouts/generator.ts';
import type { GenerationRequest, GenerationResult } from '../rollouts/settings.ts';
import { affordableSlots } from '../rollouts/slots.ts';
import type { Verifier } from '../verifiers/index.ts';
import { type AskedBenchmark, askBenchmark, verifierFor } from './asked-problems.ts';
import { EvaluationMeter, type EvaluationProgress } from './evaluation-meter.ts';
import { PendingVerdicts } from './pending-verdicts.ts';
import type { Problem } from './problem.ts';
import type { Prompt } from './prompts.ts';
import { protocolHash } from './protocol-hash.ts';

export type { EvaluationProgress } from './evaluation-meter.ts';

export interface EvaluationInput {
  model: LanguageModel;
  tokenizer: ModelTokenizer;
  protocol: EvaluationProtocol;
  /** Paths are absolute. */
  benchmarks: readonly BenchmarkReference[];
}

export interface EvaluationOptions {
  /** Keys (`sampleKey`) of completions that are already recorded; they are not made again. */
  recordedSamples?: Iterable<string>;
  signal?: AbortSignal;
  /** Sequences generated side by side. The outcome does not depend on it. */
  slots?: number;
  /** Called once per completion, in the order they are judged. */
  onSample(sample: SampleResult): void;
  onProgress?(progress: EvaluationProgress): void;
  /** What the reader of a log should know. */
  onLog?(message: string): void;
}

interface Task {
  benchmark: string;
  kind: ProblemKind;
  seed: number;
  problem: Problem;
  prompt: Prompt;
}

/**
 * Resolves when every completion is made and judged. Throws `dataset-invalid`, `bad-input` (prompts that do not fit, unknown verifier) before
 * anything is generated, `cancelled` on abort.
 */
export async function evaluateModel(input: EvaluationInput, options: EvaluationOptions): Promise<EvaluateSummary> {
  const { model } = input;
  const benchmarks = await askBenchmarks(input, options.signal);
  const kinds = new Set(benchmarks.map(({ kind }) => kind));
  const protocol = completeProtocol(input.protocol, kinds);
  const verifiers = new Map([...kinds].map((kind) => [kind, verifierFor(kind, protocol)]));
  const tasks = planTasks(benchmarks, protocol.seeds);
  const recorded = new Set(options.recordedSamples);
  const pending = new Map([...tasks].filter(([key]) => !recorded.has(key)));
  const meter = new EvaluationMeter(tasks.size, tasks.size - pending.size, options.onProgress);
  meter.start();
  const longest = Math.max(0, ...[...tasks.values()].map(({ prompt }) => prompt.ids.length));
  const capacity = longest + protocol.maxNewTokens;
  if (pending.size > 0) {
    const slots = Math.min(options.slots ?? affordableSlots(model.config, capacity), pending.size);
    const generator = createGenerator(model, { slots, capacity });
    if (generator.reason) options.onLog?.(generator.reason);
    const verdicts = new PendingVerdicts(options.signal);
    const judge = async (result: GenerationResult) => {
      const sample = await toSample(pending.get(result.key)!, result, input, verifiers, options.signal);
      options.onSample(sample);
      meter.finished(sample.verdict === 'correct');
    };
    try {
      await generator.run(
        [...pending].map(toRequest),
        { ...protocol, stopTokenIds: [] },
        {
          signal: verdicts.signal,
          onProgress: ({ generatedTokens }) => meter.generated(generatedTokens),
          onResult: (result) => verdicts.add(judge(result)),
        },
      );
    } catch (error) {
      verdicts.throwIfFailed();
      throw error;
    } finally {
      await verdicts.settled();
      await generator.dispose();
      for (const verifier of verifiers.values()) await verifier.dispose?.();
    }
    verdicts.throwIfFailed();
  }
  throwIfCancelled(options.signal, 'The evaluation');
  return { type: 'evaluate', protocolHash: protocolHash(protocol), samples: tasks.size, tokensPerSecond: meter.tokensPerSecond() ?? 0 };
}

async function askBenchmarks(input: EvaluationInput, signal?: AbortSignal): Promise<AskedBenchmark[]> {
  const asked: AskedBenchmark[] = [];
  for (const reference of input.benchmarks) asked.push(await askBenchmark(reference, input, signal));
  throwIfCancelled(signal, 'The evaluation');
  return asked;
}

/** All completions of the evaluation by their keys: benchmark by benchmark, seed by seed, problems in file order. */
function planTasks(benchmarks: readonly AskedBenchmark[], seeds: readonly number[]): Map<string, Task> {
  const tasks = new Map<string, Task>();
  for (const { name, kind, under } of benchmarks)
    for (const seed of seeds)
      for (const asked of under(seed)) tasks.set(sampleKey(name, seed, asked.problem.id), { benchmark: name, kind, seed, ...asked });
  return tasks;
}

function toRequest([key, { benchmark, seed, problem, prompt }]: [string, Task]): GenerationRequest {
  return { key, promptIds: prompt.ids, seed, stream: `${benchmark}\u0000${problem.id}` };
}

async function toSample(
  task: Task,
  result: GenerationResult,
  { tokenizer }: EvaluationInput,
  verifiers: ReadonlyMap<ProblemKind, Verifier>,
  signal: AbortSignal | undefined,
): Promise<SampleResult> {
  const { tokenIds, finishReason } = result;
  const completion = tokenizer.decode(finishReason === 'stop' ? tokenIds.slice(0, -1) : tokenIds);
  const { gold, id, tolerance } = task.problem;
  const answer = { gold, completion, finishReason, ...(tolerance === undefined ? {} : { tolerance }) };
  const { verdict, extracted } = await verifiers.get(task.kind)!.verify(answer, signal ? { signal } : {});
  return {
    benchmark: task.benchmark,
    seed: task.seed,
    problemId: id,
    prompt: task.prompt.text,
    completion,
    gold,
    verdict,
    extracted,
    completionTokens: tokenIds.length,
    finishReason,
  };
}
