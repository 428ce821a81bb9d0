/**
 * Evaluates a model on benchmarks under a protocol: one completion per problem and seed, all of them in one continuously batched
 * generation. A completion's randomness is keyed by its benchmark, problem and seed, so that its result depends neither on what
 * is generated beside it nor on where an interrupted evaluation was resumed.
 */
import type { BenchmarkReference, EvaluationProtocol } from '#contract/protocol.ts';
import { type EvaluateSummary, type SampleResult, sampleKey } from '#contract/worker.ts';
import { throwIfCancelled } from '../data/cancellation.ts';
import type { LanguageModel } from '../model/language-model.ts';
import type { ModelTokenizer } from '../model/tokenizer.ts';
import { createGenerator } from '../rollouts/generator.ts';
import type { GenerationRequest, GenerationResult } from '../rollouts/settings.ts';
import { affordableSlots } from '../rollouts/slots.ts';
import { getVerifier, type Verifier } from '../verifiers/index.ts';
import { EvaluationMeter, type EvaluationProgress } from './evaluation-meter.ts';
import { loadBenchmark } from './load.ts';
import { PendingVerdicts } from './pending-verdicts.ts';
import type { Problem } from './problem.ts';
import { type Prompt, renderPrompts } from './prompts.ts';
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
  seed: number;
  problem: Problem;
  prompt: Prompt;
}

/**
 * Resolves when every completion is made and judged. Throws `dataset-invalid`, `bad-input` (prompts that do not fit, unknown verifier) before
 * anything is generated, `cancelled` on abort.
 */
export async function evaluateModel(input: EvaluationInput, options: EvaluationOptions): Promise<EvaluateSummary> {
  const { model, protocol } = input;
  const verifier = getVerifier(protocol.verifier);
  const tasks = await planTasks(input, options.signal);
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
      const sample = await toSample(pending.get(result.key)!, result, input, verifier, options.signal);
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
      await verifier.dispose?.();
    }
    verdicts.throwIfFailed();
  }
  throwIfCancelled(options.signal, 'The evaluation');
  return { type: 'evaluate', protocolHash: protocolHash(protocol), samples: tasks.size, tokensPerSecond: meter.tokensPerSecond() ?? 0 };
}

/** All completions of the evaluation by their keys: benchmark by benchmark, seed by seed, problems in file order. */
async function planTasks({ model, tokenizer, protocol, benchmarks }: EvaluationInput, signal?: AbortSignal): Promise<Map<string, Task>> {
  const tasks = new Map<string, Task>();
  for (const { name, path } of benchmarks) {
    const benchmark = await loadBenchmark({ name, path, limit: protocol.problemsPerBenchmark }, { signal });
    const prompts = renderPrompts(benchmark, protocol, tokenizer, model.config.contextLength);
    for (const seed of protocol.seeds) {
      for (const [index, problem] of benchmark.problems.entries()) {
        tasks.set(sampleKey(name, seed, problem.id), { benchmark: name, seed, problem, prompt: prompts[index]! });
      }
    }
  }
  throwIfCancelled(signal, 'The evaluation');
  return tasks;
}

function toRequest([key, { benchmark, seed, problem, prompt }]: [string, Task]): GenerationRequest {
  return { key, promptIds: prompt.ids, seed, stream: `${benchmark}\u0000${problem.id}` };
}

async function toSample(
  task: Task,
  result: GenerationResult,
  { tokenizer }: EvaluationInput,
  verifier: Verifier,
  signal: AbortSignal | undefined,
): Promise<SampleResult> {
  const { tokenIds, finishReason } = result;
  const completion = tokenizer.decode(finishReason === 'stop' ? tokenIds.slice(0, -1) : tokenIds);
  const { gold, id } = task.problem;
  const { verdict, extracted } = await verifier.verify({ gold, completion, finishReason }, signal ? { signal } : {});
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
