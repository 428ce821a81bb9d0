/**
 * Evaluates a model on benchmarks under a protocol: one completion per problem and seed, all of them in one continuously batched
 * generation, then what is scored by likelihood. A completion's randomness is keyed by its benchmark, problem and seed, so that its
 * result depends neither on what is generated beside it, nor on the order, nor on where an interrupted evaluation was resumed.
 */
import type { ProblemKind } from '#contract/benchmarks.ts';
import type { EvaluationProtocol } from '#contract/protocol.ts';
import {
  type BenchmarkStop,
  type EvaluateSummary,
  type ExpectedTokens,
  type RecordedSample,
  type SampleResult,
  sampleKey,
  type TextWindow,
} from '#contract/worker.ts';
import { throwIfCancelled } from '../data/cancellation.ts';
import type { LanguageModel } from '../model/language-model.ts';
import { createGenerator, DropList } from '../rollouts/generator.ts';
import type { GenerationRequest, GenerationResult } from '../rollouts/settings.ts';
import { affordableSlots } from '../rollouts/slots.ts';
import type { Verifier } from '../verifiers/index.ts';
import { type AskedBenchmark, type AskedProblem, verifierFor } from './asked-problems.ts';
import { BenchmarkTally } from './benchmark-tally.ts';
import { EvaluationMeter, type EvaluationProgress } from './evaluation-meter.ts';
import { PendingVerdicts } from './pending-verdicts.ts';
import { type EvaluationInput, prepareEvaluation } from './prepare.ts';
import { generationOrder, type PlacedProblem, seededOrder } from './problem-order.ts';
import { protocolHash } from './protocol-hash.ts';
import { ScoredBenchmarks } from './scored-benchmarks.ts';

export type { EvaluationProgress } from './evaluation-meter.ts';
export type { EvaluationInput } from './prepare.ts';

export interface EvaluationOptions {
  /** Completions that are already recorded; they are not made again. */
  recordedSamples?: Iterable<RecordedSample>;
  /** Keys (`windowKey`) of text windows that are recorded. */
  recordedWindows?: Iterable<string>;
  /** What other completions of the problems took. The outcome does not depend on it, the time does. */
  expectedTokens?: ExpectedTokens;
  signal?: AbortSignal;
  /** Sequences generated side by side. The outcome does not depend on it. */
  slots?: number;
  /** Called before anything is generated with the protocol that is measured by, everything said that the given one leaves open. */
  onProtocol?(protocol: EvaluationProtocol): void;
  /** Called once per completion, in the order they are judged. */
  onSample(sample: SampleResult): void;
  /** Called once per window of a text whose perplexity is measured. */
  onWindow?(window: TextWindow): void;
  /** A benchmark has reached the protocol's precision. What was recorded of the surplus problems does not count. */
  onStop?(stop: BenchmarkStop, surplus: string[]): void;
  onProgress?(progress: EvaluationProgress): void;
  /** What the reader of a log should know. */
  onLog?(message: string): void;
  /** One part of it alone, for a trial. */
  only?: 'generated' | 'scored';
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
  /** Problems and windows of texts that are scored by likelihood. */
  scored: number;
}

/** Characters kept of what a verifier says of a verdict. */
const maxDetail = 500;

interface PlannedProblem extends PlacedProblem {
  benchmark: string;
  kind: ProblemKind;
  problemId: string;
  /** As it is asked under each of the protocol's seeds. */
  asked: AskedProblem[];
  /** The tokens that count as one unit of a completion's length; see `MeteredCompletion`. */
  unit: number;
}

interface Task extends PlannedProblem, AskedProblem {
  seed: number;
}

/**
 * Resolves when every completion is made and judged. Throws `dataset-invalid`, `bad-input` (prompts that do not fit, unknown verifier) before
 * anything is generated, `cancelled` on abort.
 */
export async function evaluateModel(input: EvaluationInput, options: EvaluationOptions): Promise<EvaluateSummary> {
  const { model } = input;
  const prepared = await prepareEvaluation(input, options.signal);
  const { protocol, kinds, asked: benchmarks } = prepared;
  options.onProtocol?.(protocol);
  const verifiers = new Map([...kinds].map((kind) => [kind, verifierFor(kind, protocol)]));
  const problems = planProblems(benchmarks, protocol.seeds, options.expectedTokens);
  const tallies = new Map(benchmarks.map(({ name }) => [name, tallyOf(name, problems, protocol)]));
  const longest = problems.reduce((most, { asked }) => Math.max(most, ...asked.map(({ prompt }) => prompt.ids.length)), 0);
  const capacity = longest + protocol.maxNewTokens;
  const slots = options.slots ?? (await slotsFor(model, capacity, problems.length * protocol.seeds.length, options));
  const tasks = planTasks(problems, protocol, slots);
  const pending = new Map(tasks);
  const recordedSamples = [...(options.recordedSamples ?? [])];
  const recorded = takeRecorded(pending, tallies, recordedSamples);
  const end = (tally: BenchmarkTally) => {
    if (tally.stop) options.onStop?.(tally.stop, tally.surplus());
  };
  for (const tally of tallies.values()) end(tally);
  for (const [key, { benchmark, problemId }] of pending) if (!tallies.get(benchmark)!.counts(problemId)) pending.delete(key);
  const { recordedWindows = [], signal, onSample, onStop, onWindow, onProgress } = options;
  const report = () => meter.report();
  const scored = new ScoredBenchmarks(prepared, { recordedSamples, recordedWindows, signal, onSample, onStop, onWindow, report });
  const meter = new EvaluationMeter({
    tallies: [...tallies.values()],
    ...{ pending, recorded, slots, maxNewTokens: protocol.maxNewTokens },
    report: onProgress && ((progress) => onProgress(scored.beside(progress))),
  });
  meter.report();
  options.onPlanned?.(sizeOf([...pending.values()], { slots, capacity, scored: scored.total - scored.done }));
  if (pending.size > 0 && options.only !== 'scored') {
    const generator = createGenerator(model, { slots: Math.min(slots, pending.size), capacity, reserve: true });
    if (generator.reason) options.onLog?.(generator.reason);
    const verdicts = new PendingVerdicts(options.signal);
    const dropList = new DropList(pending.size);
    const judge = async (result: GenerationResult) => {
      const { benchmark, problemId } = pending.get(result.key)!;
      const tally = tallies.get(benchmark)!;
      meter.ended(result.key, result.tokenIds.length);
      if (!tally.counts(problemId)) return;
      const sample = await toSample(pending.get(result.key)!, result, input, verifiers, options.signal);
      if (!tally.counts(problemId)) return;
      options.onSample(sample);
      tally.record(problemId, sample.verdict === 'correct', sample.completionTokens);
      if (tally.stop) {
        end(tally);
        meter.dropped(dropBeyond(tally, pending, dropList));
      }
      meter.report();
    };
    try {
      await generator.run(
        [...pending].map(toRequest),
        { ...protocol, stopTokenIds: [] },
        {
          signal: verdicts.signal,
          dropList,
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
  if (options.only !== 'generated') await scored.run();
  throwIfCancelled(options.signal, 'The evaluation');
  const ended = [...tallies.values()];
  const stopped = [...ended.flatMap(({ stop }) => stop ?? []), ...scored.stops];
  return {
    type: 'evaluate',
    protocolHash: protocolHash(protocol),
    samples: ended.reduce((sum, { total }) => sum + total, scored.problems),
    tokensPerSecond: meter.tokensPerSecond() ?? 0,
    ...(stopped.length > 0 ? { stopped } : {}),
  };
}

function slotsFor(model: LanguageModel, capacity: number, requests: number, { onLog, only }: EvaluationOptions): number | Promise<number> {
  if (requests === 0 || only === 'scored') return 1;
  return affordableSlots(model, { capacity, requests, ...(onLog ? { onLog } : {}) });
}

/** The problems of every benchmark in their seeded orders, with their prompts. */
function planProblems(benchmarks: readonly AskedBenchmark[], seeds: readonly number[], expectedTokens?: ExpectedTokens): PlannedProblem[] {
  return benchmarks.flatMap(({ name, kind, problems, under }) => {
    const known = expectedTokens?.get(name);
    const isKnown = problems.every(({ id }) => known?.has(id));
    const bySeed = seeds.map((seed) => under(seed));
    const own = problems.map(({ id }, index) => ({ problemId: id, asked: bySeed.map((list) => list[index]!) }));
    return seededOrder(own, seeds[0]!, name).map(({ problemId, asked }, position): PlannedProblem => {
      const expected = isKnown ? known?.get(problemId) : undefined;
      // Without earlier completions: long questions tend to be hard ones.
      const expectedLength = expected ?? asked[0]!.prompt.ids.length;
      return { benchmark: name, kind, problemId, asked, position, of: own.length, expectedLength, unit: Math.max(1, expected ?? 1) };
    });
  });
}

/** All completions of the evaluation by their keys, in the order they are generated. Those of a problem stand together: they share its prompt. */
function planTasks(problems: readonly PlannedProblem[], { seeds, precision }: EvaluationProtocol, slots: number): Map<string, Task> {
  const ordered = generationOrder(problems, Math.ceil(slots / seeds.length), precision ? 1 : undefined);
  return new Map(
    ordered.flatMap((each) =>
      seeds.map((seed, index): [string, Task] => [
        sampleKey(each.benchmark, seed, each.problemId),
        { ...each, ...each.asked[index]!, seed },
      ]),
    ),
  );
}

function sizeOf(tasks: readonly Task[], { slots, ...size }: Pick<EvaluationSize, 'slots' | 'capacity' | 'scored'>): EvaluationSize {
  const prompts = tasks.map(({ prompt }) => prompt.ids);
  const longestPrompt = prompts.reduce((longest, ids) => (ids.length > longest.length ? ids : longest), [] as readonly number[]);
  const meanPromptTokens = prompts.reduce((sum, ids) => sum + ids.length, 0) / Math.max(1, prompts.length);
  return { ...size, completions: tasks.length, slots: Math.min(slots, tasks.length), longestPrompt, meanPromptTokens };
}

function tallyOf(name: string, problems: readonly PlannedProblem[], { seeds, precision }: EvaluationProtocol): BenchmarkTally {
  const own = problems.filter(({ benchmark }) => benchmark === name);
  return new BenchmarkTally({ name, problemIds: own.map(({ problemId }) => problemId), seeds: seeds.length, precision });
}

/** Gives up the pending completions that do not count since a benchmark has stopped; their keys. */
function dropBeyond(tally: BenchmarkTally, pending: ReadonlyMap<string, Task>, dropList: DropList): string[] {
  const beyond = [...pending].map(([key, task], index) => ({ key, task, index })).filter(({ task }) => task.benchmark === tally.name);
  const dropped = beyond.filter(({ task }) => !tally.counts(task.problemId));
  for (const { index } of dropped) dropList.drop(index);
  return dropped.map(({ key }) => key);
}

/** Counts what is recorded and takes it out of what is pending. */
function takeRecorded(pending: Map<string, Task>, tallies: ReadonlyMap<string, BenchmarkTally>, samples: Iterable<RecordedSample>) {
  const recorded: (Task & { tokens: number })[] = [];
  for (const [key, verdict, tokens] of samples) {
    const task = pending.get(key);
    if (!task) continue;
    pending.delete(key);
    tallies.get(task.benchmark)!.record(task.problemId, verdict === 'correct', tokens);
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
  verifiers: ReadonlyMap<ProblemKind, Verifier>,
  signal: AbortSignal | undefined,
): Promise<SampleResult> {
  const { tokenIds, finishReason } = result;
  const completion = tokenizer.decode(finishReason === 'stop' ? tokenIds.slice(0, -1) : tokenIds);
  const { gold, id, tolerance, readTests } = task.problem;
  const answer = { gold, completion, finishReason, ...(tolerance === undefined ? {} : { tolerance }), ...(readTests ? { readTests } : {}) };
  const { verdict, extracted, detail } = await verifiers.get(task.kind)!.verify(answer, signal ? { signal } : {});
  return {
    benchmark: task.benchmark,
    seed: task.seed,
    problemId: id,
    prompt: task.prompt.text,
    completion,
    gold,
    verdict,
    extracted,
    detail: detail === undefined ? null : shortened(detail),
    completionTokens: tokenIds.length,
    finishReason,
  };
}

/** A program chooses what its exceptions say, and how much. */
function shortened(detail: string): string {
  return detail.length > maxDetail ? `${detail.slice(0, maxDetail - 1).toWellFormed()}…` : detail;
}
