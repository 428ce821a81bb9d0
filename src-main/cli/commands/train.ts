/** `train`: one model, one train stage or a recipe of several; a model folder and a report of what was learnt. */
import path from 'node:path';
import { type Command, Option } from 'commander';
import { RoundoffError } from '#contract/errors.ts';
import { evaluationProtocolSchema } from '#contract/protocol.ts';
import { chainTitle, floatModel, quantizedModel } from '#contract/training-chain.ts';
import { selectBackend } from '../../engine/backends/select.ts';
import { checkFolderIsFree, writeWholeFile } from '../../engine/formats/atomic-file.ts';
import { readModelConfig } from '../../engine/model/config.ts';
import { inspectModel, requireUsable } from '../../engine/model/inspect.ts';
import { loadTokenizer } from '../../engine/model/tokenizer.ts';
import { bytes, count, percent } from '../../reports/format.ts';
import { isQuantized } from '../../runs/train-inputs.ts';
import type { CliContext } from '../context.ts';
import {
  type BackendOptions,
  backendOption,
  collect,
  examples,
  jsonOption,
  positiveWholeNumber,
  userPath,
  wholeNumber,
} from '../options.ts';
import { addTrainFlags, givenFlags, type TrainFlags } from '../train-flags.ts';
import { type StageOutcome, trainRecipe } from '../train-recipe.ts';
import { type TrainingStages, trainingStages } from '../train-stage-options.ts';
import { parseBenchmark } from './evaluate.ts';

interface TrainOptions extends BackendOptions {
  out: string;
  seed: number;
  benchmark?: string[];
  evaluateNewTokens: number;
  json?: boolean;
}

const data = '--data sample:training/abacus.jsonl';
const exampleLines = [
  `train sample:abacus --objective sft ${data} --steps 200 --learning-rate 1e-3 --out abacus-sft`,
  `train sample:abacus --objective kd --trains quantized --scheme W2G32 ${data} --steps 400 --out abacus-kd`,
  `train abacus-gptq-w2 --objective kd --trains quantized ${data} --learning-rate 3e-4 --out abacus-gptq-kd`,
  `train abacus-kd --objective grpo --trains quantized ${data} --steps 50 --max-new-tokens 256 --out abacus-grpo`,
  `train abacus-nf4 --objective dr-grpo --trains lora --rank 8 ${data} --out abacus-qlora`,
  `train sample:abacus --objective sft ${data} --evaluate-every 50 --benchmark abacus-sums --out abacus-watched`,
  'train sample:abacus --recipe gptq-kd-grpo.json --out abacus-workflow --seed 7',
];

export function addTrain(program: Command, context: CliContext): void {
  const command = program
    .command('train <model>')
    .description('train a model folder by SFT, distillation or RL: all weights, quantized weights, LoRA or FlatQuant’s transforms')
    .requiredOption('--out <folder>', 'new folder for the trained model; the same command goes on where it was interrupted')
    .option('--seed <n>', 'order of data, sampling, dropout', wholeNumber, 42)
    .addOption(backendOption())
    .addOption(jsonOption());
  addTrainFlags(command);
  const watching = 'Accuracy while training:';
  command
    .addOption(
      new Option('--evaluate-every <n>', 'steps between evaluations; the best step is kept beside the last')
        .argParser(positiveWholeNumber)
        .helpGroup(watching),
    )
    .addOption(
      new Option('--evaluate-problems <n>', 'first N problems of each benchmark (default: 50)')
        .argParser(positiveWholeNumber)
        .helpGroup(watching),
    )
    .addOption(
      new Option('--benchmark <name[=file]>', 'what to evaluate on; may be given several times').argParser(collect).helpGroup(watching),
    )
    .addOption(
      new Option('--evaluate-new-tokens <n>', 'token limit of a completion')
        .argParser(positiveWholeNumber)
        .default(256)
        .helpGroup(watching),
    );
  const text = [
    '',
    'Without further options, sizes and rates are those of the papers, and smaller ones for models of up to 20 million parameters.',
    'Ctrl-C stops at a checkpoint. A recipe file holds a train stage as studies have them, or {"name": …, "stages": [quantize and train stages]}.',
  ];
  examples(command, exampleLines)
    .addHelpText('after', text.join('\n'))
    .action((model: string, options: TrainOptions) => train(context, userPath(model, context.resourcesDir), options, givenFlags(command)));
}

async function train(context: CliContext, baseDir: string, options: TrainOptions, given: TrainFlags): Promise<void> {
  const { progress, signal, resourcesDir } = context;
  const outDir = path.resolve(options.out);
  await checkFolderIsFree(outDir);
  const config = await readModelConfig(baseDir);
  const inspection = await inspectModel(baseDir, { signal });
  requireUsable(inspection);
  const start = (await isQuantized({ dir: baseDir, config })) ? quantizedModel : floatModel;
  const stages = await trainingStages(given, { resourcesDir, parameters: inspection.parameters, start });
  const evaluation = evaluationOf(stages, options, resourcesDir);
  const startedAt = performance.now();
  const backend = await selectBackend(options.backend);
  const tokenizer = await loadTokenizer(baseDir, { vocabSize: config.vocabSize });
  const { seed } = options;
  const outcomes = await trainRecipe(context, { baseDir, modelHash: inspection.hash, outDir, stages, seed, tokenizer, evaluation });
  progress.clear();
  const report = { out: outDir, recipe: chainTitle(stages), seed, backend: backend.name, stages: outcomes.map(describeOutcome) };
  await writeWholeFile(path.join(outDir, 'training-report.json'), `${JSON.stringify({ ...report, recipe: stages }, null, 2)}\n`);
  context.print(options.json ?? false, { ...report, timing: { elapsedMs: performance.now() - startedAt } }, () =>
    [...outcomes.flatMap(outcomeLines), `${chainTitle(stages)} is in ${outDir}`].join('\n'),
  );
}

function evaluationOf(stages: TrainingStages, options: TrainOptions, resourcesDir: string) {
  const evaluates = stages.some((stage) => stage.type === 'train' && stage.evaluation !== null);
  const names = options.benchmark ?? [];
  if (evaluates && names.length === 0)
    throw new RoundoffError(
      'bad-input',
      'Nothing says what to evaluate on while training.',
      'Name it with --benchmark, for example --benchmark abacus-sums.',
    );
  if (!evaluates && names.length > 0)
    throw new RoundoffError(
      'bad-input',
      '--benchmark is given, but nothing is evaluated.',
      'Say how often with --evaluate-every, or leave it out.',
    );
  if (!evaluates) return null;
  const protocol = evaluationProtocolSchema.parse({
    ...{ temperature: 0, topP: 1, topK: 0, maxNewTokens: options.evaluateNewTokens, seeds: [42], systemPrompt: null },
    ...{ promptTemplate: '{question}', verifier: 'maths-1', problemsPerBenchmark: null },
  });
  return { benchmarks: names.map((name) => parseBenchmark(name, resourcesDir)), protocol };
}

function describeOutcome({ title, checkpoint, best, summary, bitsPerWeight }: StageOutcome) {
  const { sha256, weightBytes } = checkpoint;
  return { title, sha256, bytes: weightBytes, bitsPerWeight, ...(best ? { bestFolder: best.dir } : {}), ...(summary ? { summary } : {}) };
}

function outcomeLines({ title, checkpoint, best, summary, bitsPerWeight }: StageOutcome): string[] {
  const size = `${bitsPerWeight === null ? '' : `${bitsPerWeight.toFixed(2)} bits per weight, `}${bytes(checkpoint.weightBytes)}`;
  if (!summary) return [`${title}: ${size}`];
  const { steps, tokens, examples: rows, tooLong, last, notes } = summary;
  const figures = Object.entries(last).map(([name, value]) => `${name.replaceAll('-', ' ')} ${value.toPrecision(4)}`);
  return [
    `${title}: ${count(steps)} steps over ${count(tokens)} tokens of ${count(rows)} rows${tooLong > 0 ? ` (${count(tooLong)} were too long)` : ''}, ${size}`,
    `  in the last tenth: ${figures.join(', ')}`,
    ...(summary.best
      ? [`  best after step ${count(summary.best.step)}: ${percent(summary.best.accuracy)} %${best ? ` in ${best.dir}` : ''}`]
      : []),
    ...notes.map((note) => `  ${note}`),
  ];
}
