/** `evaluate`: accuracy of one model folder on benchmarks, without a project. */
import path from 'node:path';
import type { Command } from 'commander';
import { stopText } from '#contract/early-stop.ts';
import { RoundoffError } from '#contract/errors.ts';
import { type BenchmarkReference, type EvaluationProtocol, type Precision, precisionSchema } from '#contract/protocol.ts';
import type { SampleResult, Verdict } from '#contract/worker.ts';
import { selectBackend } from '../../engine/backends/select.ts';
import { evaluateModel } from '../../engine/benchmarks/evaluate.ts';
import { writeWholeFile } from '../../engine/formats/atomic-file.ts';
import { loadModel } from '../../engine/model/load.ts';
import { loadTokenizer } from '../../engine/model/tokenizer.ts';
import { accuracyInterval } from '../../engine/statistics/index.ts';
import { duration, percentInterval } from '../../reports/format.ts';
import { addReferenceOptions, type ReferenceOptions, referenceDetails } from '../benchmark-options.ts';
import type { CliContext } from '../context.ts';
import { accuracySoFar } from '../evaluation-progress.ts';
import {
  addCompletionOptions,
  type CompletionOptions,
  collect,
  decimal,
  examples,
  jsonOption,
  positiveWholeNumber,
  userPath,
  wholeNumber,
} from '../options.ts';
import { textTable } from '../terminal.ts';

interface EvaluateOptions extends CompletionOptions, ReferenceOptions {
  benchmark: string[];
  seeds: number;
  firstSeed: number;
  problems?: number;
  precision?: number;
  template: string;
  samples?: string;
  json?: boolean;
}

export function addEvaluate(program: Command, context: CliContext): void {
  const command = program
    .command('evaluate <model>')
    .description('accuracy with 95 % interval per benchmark; NAME alone means a benchmark of the bundled sample')
    .requiredOption('--benchmark <name[=file]>', 'benchmark; may be given several times', collect)
    .option('--seeds <n>', 'completions per problem', positiveWholeNumber, 3)
    .option('--first-seed <n>', 'the seeds count up from this', wholeNumber, 42)
    .option('--problems <n>', 'first N problems of each benchmark', positiveWholeNumber)
    .option('--precision <points>', 'end a benchmark once its accuracy is known to ± this many points', decimal)
    .option('--template <text>', 'prompt with {question} in it', '{question}')
    .option('--samples <file>', 'also write every completion to this .jsonl file')
    .addOption(jsonOption());
  examples(addCompletionOptions(addReferenceOptions(command)), [
    'evaluate sample:abacus --benchmark abacus-sums --seeds 3',
    'evaluate ~/models/Qwen3-0.6B --benchmark mine=mine.csv --map question=prompt,answer=target',
    'evaluate ~/models/Qwen3-0.6B --benchmark gsm8k=gsm8k.jsonl --problems 50 --max-new-tokens 2048 --json',
  ]).action((model: string, options: EvaluateOptions) => evaluate(context, userPath(model, context.resourcesDir), options));
}

async function evaluate(context: CliContext, dir: string, options: EvaluateOptions): Promise<void> {
  const { progress, signal, resourcesDir } = context;
  const files = options.benchmark.map((text) => parseBenchmark(text, resourcesDir));
  const names = files.map(({ name }) => name);
  const benchmarks = files.map((file) => ({ ...file, ...referenceDetails(options, { name: file.name, names, resourcesDir }) }));
  const twice = benchmarks.find(({ name }, index) => benchmarks.findIndex((other) => other.name === name) < index);
  if (twice)
    throw new RoundoffError('bad-input', `The benchmark "${twice.name}" is given twice.`, 'Give each benchmark a name of its own.');
  const protocol = protocolFrom(options);
  const startedAt = performance.now();
  const backend = await selectBackend(options.backend);
  const model = await loadModel(dir, { signal });
  const tokenizer = await loadTokenizer(dir, { vocabSize: model.config.vocabSize });
  let samples: SampleResult[] = [];
  const summary = await evaluateModel(
    { model, tokenizer, protocol, benchmarks },
    {
      signal,
      onLog: (message) => progress.note(message),
      onSample: (sample) => samples.push(sample),
      onStop: (stop, surplus) => {
        progress.note(stopText(stop));
        samples = samples.filter(({ benchmark, problemId }) => benchmark !== stop.benchmark || !surplus.includes(problemId));
      },
      onProgress: ({ done, total, tokensPerSecond, remainingMs, benchmarks: sofar }) => {
        const rate = tokensPerSecond === null ? '' : `, ${Math.round(tokensPerSecond)} tokens/s`;
        const left = remainingMs === null ? '' : `, ${duration(remainingMs)} left`;
        progress.update('Evaluating', `${done} of ${total} completions${rate}${left}  ${accuracySoFar(sofar)}`.trimEnd());
      },
    },
  );
  model.dispose();
  progress.clear();
  if (options.samples) await writeWholeFile(path.resolve(options.samples), samples.map((sample) => `${JSON.stringify(sample)}\n`).join(''));
  const results = benchmarks.map(({ name }) => benchmarkResult(name, samples, protocol.seeds));
  const timing = { elapsedMs: performance.now() - startedAt, tokensPerSecond: summary.tokensPerSecond, backend: backend.name };
  context.print(
    options.json ?? false,
    { benchmarks: results, stopped: summary.stopped ?? [], protocol, protocolHash: summary.protocolHash, timing },
    () =>
      textTable(
        ['benchmark', 'accuracy [95 %]', 'problems', 'seeds', 'correct', 'incorrect', 'unparsed', 'truncated'],
        results.map(({ benchmark, accuracy, problems, seeds, verdicts }) =>
          [benchmark, percentInterval(accuracy), problems, seeds.length, ...Object.values(verdicts)].map(String),
        ),
        new Set([2, 3, 4, 5, 6, 7]),
      ),
  );
}

/** `NAME=FILE`, or `NAME` of a bundled one. */
export function parseBenchmark(text: string, resourcesDir: string): BenchmarkReference {
  const at = text.indexOf('=');
  const name = at < 0 ? text : text.slice(0, at);
  if (name === '') throw new RoundoffError('bad-input', `"${text}" names no benchmark.`, 'Write NAME, or NAME=FILE.');
  return { name, path: userPath(at < 0 ? `sample:benchmarks/${name}.jsonl` : text.slice(at + 1), resourcesDir) };
}

function protocolFrom(options: EvaluateOptions): EvaluationProtocol {
  const { temperature, topP, topK, maxNewTokens } = options;
  if (!options.template.includes('{question}'))
    throw new RoundoffError('bad-input', 'The template has no {question} in it.', 'Write for example "{question} Answer in \\boxed{}."');
  return {
    temperature,
    topP,
    topK,
    maxNewTokens,
    seeds: Array.from({ length: options.seeds }, (_, index) => options.firstSeed + index),
    systemPrompt: options.system ?? null,
    promptTemplate: options.template,
    verifier: 'maths-1',
    problemsPerBenchmark: options.problems ?? null,
    ...(options.precision === undefined ? {} : { precision: parsePrecision(options.precision) }),
  };
}

function parsePrecision(points: number): Precision {
  const parsed = precisionSchema.safeParse({ points });
  if (parsed.success) return parsed.data;
  throw new RoundoffError('bad-input', `A precision of ±${points} points cannot be asked for.`, 'Give a number above 0 and at most 50.');
}

function benchmarkResult(benchmark: string, all: readonly SampleResult[], seeds: number[]) {
  const problems = new Map<string, { correct: number; samples: number }>();
  const verdicts: Record<Verdict, number> = { correct: 0, incorrect: 0, unparsed: 0, truncated: 0 };
  for (const { problemId, verdict } of all.filter((sample) => sample.benchmark === benchmark)) {
    const score = problems.get(problemId) ?? { correct: 0, samples: 0 };
    problems.set(problemId, { correct: score.correct + (verdict === 'correct' ? 1 : 0), samples: score.samples + 1 });
    verdicts[verdict]++;
  }
  return { benchmark, accuracy: accuracyInterval([...problems.values()]), problems: problems.size, seeds, verdicts };
}
