/** `evaluate`: accuracy of one model folder on benchmarks and perplexity on texts, without a project. */
import path from 'node:path';
import type { Command } from 'commander';
import { isText } from '#contract/benchmarks.ts';
import { stopText } from '#contract/early-stop.ts';
import { RoundoffError } from '#contract/errors.ts';
import type { BenchmarkReference } from '#contract/protocol.ts';
import type { SampleResult, TextWindow } from '#contract/worker.ts';
import { selectBackend } from '../../engine/backends/select.ts';
import { evaluateModel } from '../../engine/benchmarks/evaluate.ts';
import { writeWholeFile } from '../../engine/formats/atomic-file.ts';
import { frozenStorage, loadModel } from '../../engine/model/load.ts';
import { loadTokenizer } from '../../engine/model/tokenizer.ts';
import { duration } from '../../reports/format.ts';
import { addReferenceOptions, type ReferenceOptions, referenceDetails } from '../benchmark-options.ts';
import type { CliContext } from '../context.ts';
import { accuracySoFar } from '../evaluation-progress.ts';
import { benchmarkResult, resultTable, textResult } from '../evaluation-result.ts';
import { addCompletionOptions, collect, examples, jsonOption, userPath } from '../options.ts';
import { addProtocolOptions, type ProtocolOptions, protocolFrom } from '../protocol-options.ts';

interface EvaluateOptions extends ProtocolOptions, ReferenceOptions {
  benchmark?: string[];
  perplexity?: string[];
  samples?: string;
  json?: boolean;
}

export function addEvaluate(program: Command, context: CliContext): void {
  const command = program
    .command('evaluate <model>')
    .description('accuracy with 95 % interval per benchmark, perplexity of texts; NAME alone means a benchmark of the bundled sample')
    .option('--benchmark <name[=file]>', 'benchmark file or folder; may be given several times', collect)
    .option('--perplexity <name=file>', 'text file (or rows with "text"); may be given several times', collect)
    .option('--samples <file>', 'also write every completion to this .jsonl file')
    .addOption(jsonOption());
  examples(addCompletionOptions(addProtocolOptions(addReferenceOptions(command))), [
    'evaluate sample:abacus --benchmark abacus-sums --seeds 3',
    'evaluate ~/models/Qwen3-0.6B --benchmark gsm8k=gsm8k.jsonl --problems 50 --max-new-tokens 2048 --json',
    'evaluate ~/models/Qwen3-0.6B --benchmark gpqa=gpqa_diamond.csv --benchmark mine=mine.csv --map mine:question=prompt,answer=target',
    'evaluate ~/models/Qwen3-0.6B --perplexity wikitext2=wiki.test.raw.txt --benchmark hellaswag=hellaswag --split hellaswag:validation',
  ]).action((model: string, options: EvaluateOptions) => evaluate(context, userPath(model, context.resourcesDir), options));
}

async function evaluate(context: CliContext, dir: string, options: EvaluateOptions): Promise<void> {
  const { progress, signal } = context;
  const benchmarks = referencesFrom(options, context.resourcesDir);
  const texts = benchmarks.filter(isText);
  const startedAt = performance.now();
  const backend = await selectBackend(options.backend);
  const model = await loadModel(dir, { signal, storage: frozenStorage() });
  const tokenizer = await loadTokenizer(dir, { vocabSize: model.config.vocabSize });
  let samples: SampleResult[] = [];
  const windows: TextWindow[] = [];
  let protocol = protocolFrom(options, { contextLength: model.config.contextLength, texts: texts.length > 0 });
  const summary = await evaluateModel(
    { model, tokenizer, protocol, benchmarks },
    {
      signal,
      onProtocol: (complete) => {
        protocol = complete;
      },
      onLog: (message) => progress.note(message),
      onSample: (sample) => samples.push(sample),
      onWindow: (window) => windows.push(window),
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
  const results = benchmarks.filter((each) => !isText(each)).map(({ name }) => benchmarkResult(name, samples));
  const perplexities = texts.map(({ name }) => textResult(name, windows));
  const timing = { elapsedMs: performance.now() - startedAt, tokensPerSecond: summary.tokensPerSecond, backend: backend.name };
  const stopped = summary.stopped ?? [];
  const result = { benchmarks: results, perplexities, stopped, protocol, protocolHash: summary.protocolHash, timing };
  context.print(options.json ?? false, result, () => resultTable(results, perplexities));
}

/** All benchmarks and texts with what is said of each. Throws `bad-input` for none, and for two of one name. */
function referencesFrom(options: EvaluateOptions, resourcesDir: string): BenchmarkReference[] {
  const files = [
    ...(options.benchmark ?? []).map((text) => parseBenchmark(text, resourcesDir)),
    ...(options.perplexity ?? []).map((text) => parseText(text, resourcesDir)),
  ];
  if (files.length === 0)
    throw new RoundoffError('bad-input', 'There is nothing to evaluate on.', 'Give --benchmark NAME=FILE, or --perplexity NAME=FILE.');
  const names = files.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) < index);
  if (twice !== undefined)
    throw new RoundoffError('bad-input', `The benchmark "${twice}" is given twice.`, 'Give each benchmark a name of its own.');
  return files.map((file) => ({ ...referenceDetails(options, { name: file.name, names, resourcesDir }), ...file }));
}

function parseText(text: string, resourcesDir: string): BenchmarkReference {
  const at = text.indexOf('=');
  if (at < 1) throw new RoundoffError('bad-input', `"${text}" names no text.`, 'Write --perplexity NAME=FILE.');
  return { name: text.slice(0, at), path: userPath(text.slice(at + 1), resourcesDir), kind: 'text' };
}

/** `NAME=FILE`, or `NAME` of a bundled one. */
export function parseBenchmark(text: string, resourcesDir: string): BenchmarkReference {
  const at = text.indexOf('=');
  const name = at < 0 ? text : text.slice(0, at);
  if (name === '') throw new RoundoffError('bad-input', `"${text}" names no benchmark.`, 'Write NAME, or NAME=FILE.');
  return { name, path: userPath(at < 0 ? `sample:benchmarks/${name}.jsonl` : text.slice(at + 1), resourcesDir) };
}
