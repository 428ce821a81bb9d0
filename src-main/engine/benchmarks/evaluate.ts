/**
 * Evaluates a model on benchmarks under a protocol: one completion per problem and seed, all of them in one continuously batched
 * generation. A completion's randomness is keyed by its benchmark, problem and seed, so that its result depends neither on what
 * is generated beside it, nor on the order, nor on where an interrupted evaluation was resumed.
 */
import type { BenchmarkReference, EvaluationProtocol } from '#contract/protocol.ts';
import { type EvaluateSummary, type ExpectedTokens, type RecordedSample, type SampleResult, sampleKey } from '#contract/worker.ts';
import { throwIfCancelled } from '../data/cancellation.ts';
import type { LanguageModel } from '../model/language-model.ts';
import type { ModelTokenizer } from '../model/tokenizer.ts';
import { createGenerator } from '../rollouts/generator.ts';
import type { GenerationRequest, GenerationResult } from '../rollouts/settings.ts';
import { affordableSlots } from '../rollouts/slots.ts';
import { getVerifier, type Verifier } from '../verifiers/index.ts';
import { BenchmarkTally } from './benchmark-tally.ts';
import { EvaluationMeter, type EvaluationProgress } from './evaluation-meter.ts';
import { loadBenchmark } from './load.ts';
import { PendingVerdicts } from './pending-verdicts.ts';
import type { Problem } from './problem.ts';
import { generationOrder, type PlacedProblem, seededOrder } from './problem-order.ts';
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
  /** Completions that are already recorded; they are not made again. */
  recordedSamples?: Iterable<RecordedSample>;
  /** What other completions of the problems took. The outcome does not depend on it, the time does. */
  expectedTokens?: ExpectedTokens;
  signal?: AbortSignal;
  /** Sequences generated side by side. The outcome does not depend on it. */
  slots?: number;
  /** Called once per completion, in the order they are judged. */
  onSample(sample: SampleResult): void;
  onProgress?(progress: EvaluationProgress): void;
  /** What the reader of a log should know. */
  onLog?(message: string): void;
  /** Called once everything is planned, before anything is generated. */
  onPlanned?(size: EvaluationSize): void;
}

/** What an evaluation generates, and how. */
export interface EvaluationSize {
  /** Completions to make. */
  completions: number;
  /** Sequences generated side by side. */
  slots: number;
  /** Most tokens of a sequence, prompt included. */
  capacity: number;
  /** The longest prompt. */
  longestPrompt: readonly number[];
  meanPromptTokens: number;
}

interface PlannedProblem extends PlacedProblem {
  benchmark: string;
  problem: Problem;
  prompt: Prompt;
  /** The tokens that count as one unit of a completion's length; see `MeteredCompletion`. */
  unit: number;
}

interface Task extends PlannedProblem {
  seed: number;
}

/**
 * Resolves when every completion is made and judged. Throws `dataset-invalid`, `bad-input` (prompts that do not fit, unknown verifier) before
 * anything is generated, `cancelled` on abort.
 */
export async function evaluateModel(input: EvaluationInput, options: EvaluationOptions): Promise<EvaluateSummary> {
  const { model, protocol } = input;
  const verifier = getVerifier(protocol.verifier);
  const problems = await planProblems(input, options);
  const tallies = new Map(input.benchmarks.map(({ name }) => [name, tallyOf(name, problems, protocol.seeds.length)]));
  const longest = Math.max(0, ...problems.map(({ prompt }) => prompt.ids.length));
  const capacity = longest + protocol.maxNewTokens;
  const slots = options.slots ?? affordableSlots(model.config, capacity);
  const tasks = planTasks(problems, protocol.seeds, slots);
  const pending = new Map(tasks);
  const recorded = takeRecorded(pending, tallies, options.recordedSamples ?? []);
  const meter = new EvaluationMeter({
    tallies: [...tallies.values()],
    ...{ pending, recorded, slots, maxNewTokens: protocol.maxNewTokens, report: options.onProgress },
  });
  meter.report();
  options.onPlanned?.(sizeOf([...pending.values()], slots, capacity));
  if (pending.size > 0) {
    const generator = createGenerator(model, { slots: Math.min(slots, pending.size), capacity, reserve: true });
    if (generator.reason) options.onLog?.(generator.reason);
    const verdicts = new PendingVerdicts(options.signal);
    const judge = async (result: GenerationResult) => {
      meter.ended(result.key, result.tokenIds.length);
      const sample = await toSample(pending.get(result.key)!, result, input, verifier, options.signal);
      options.onSample(sample);
      tallies.get(sample.benchmark)!.record(sample.problemId, sample.verdict === 'correct', sample.completionTokens);
      meter.report();
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

/** The problems of every benchmark in their seeded orders, with their prompts. */
async function planProblems(input: EvaluationInput, { signal, expectedTokens }: EvaluationOptions): Promise<PlannedProblem[]> {
  const { model, tokenizer, protocol, benchmarks } = input;
  const planned: PlannedProblem[] = [];
  for (const { name, path } of benchmarks) {
    const benchmark = await loadBenchmark({ name, path, limit: protocol.problemsPerBenchmark }, { signal });
    const prompts = renderPrompts(benchmark, protocol, tokenizer, model.config.contextLength);
    const known = expectedTokens?.get(name);
    const isKnown = benchmark.problems.every(({ id }) => known?.has(id));
    const own = benchmark.problems.map((problem, index) => ({ problem, prompt: prompts[index]! }));
    for (const [position, { problem, prompt }] of seededOrder(own, protocol.seeds[0]!, name).entries()) {
      const expected = isKnown ? known?.get(problem.id) : undefined;
      // Without earlier completions: long questions tend to be hard ones.
      const expectedLength = expected ?? prompt.ids.length;
      planned.push({ benchmark: name, problem, prompt, position, of: own.length, expectedLength, unit: expected ?? 1 });
    }
  }
  throwIfCancelled(signal, 'The evaluation');
  return planned;
}

/** All completions of the evaluation by their keys, in the order they are generated. Those of a problem stand together: they share its prompt. */
function planTasks(problems: readonly PlannedProblem[], seeds: readonly number[], slots: number): Map<string, Task> {
  const ordered = generationOrder(problems, Math.ceil(slots / seeds.length));
  return new Map(
    ordered.flatMap((each) => seeds.map((seed): [string, Task] => [sampleKey(each.benchmark, seed, each.problem.id), { ...each, seed }])),
  );
}

function sizeOf(tasks: readonly Task[], slots: number, capacity: number): EvaluationSize {
  const prompts = tasks.map(({ prompt }) => prompt.ids);
  const longestPrompt = prompts.reduce((longest, ids) => (ids.length > longest.length ? ids : longest), [] as readonly number[]);
  const meanPromptTokens = prompts.reduce((sum, ids) => sum + ids.length, 0) / Math.max(1, prompts.length);
  return { completions: tasks.length, slots: Math.min(slots, tasks.length), capacity, longestPrompt, meanPromptTokens };
}

function tallyOf(benchmark: string, problems: readonly PlannedProblem[], seeds: number): BenchmarkTally {
  const own = problems.filter((problem) => problem.benchmark === benchmark);
  return new BenchmarkTally(
    benchmark,
    own.map(({ problem }) => problem.id),
    seeds,
  );
}

/** Counts what is recorded and takes it out of what is pending. */
function takeRecorded(pending: Map<string, Task>, tallies: ReadonlyMap<string, BenchmarkTally>, samples: Iterable<RecordedSample>) {
  const recorded: (Task & { tokens: number })[] = [];
  for (const [key, verdict, tokens] of samples) {
    const task = pending.get(key);
    if (!task) continue;
    pending.delete(key);
    tallies.get(task.benchmark)!.record(task.problem.id, verdict === 'correct', tokens);
    recorded.push({ ...task, tokens });
  }
  return recorded;
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
