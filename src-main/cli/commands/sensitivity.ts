/** `sensitivity`: what rounding each layer alone costs, and a mixed scheme for a size budget. */
import type { Command } from 'commander';
import { calibrationSchema, type MixedPrecision, mixedPrecisionSchema } from '#contract/recipe.ts';
import { formatScheme, parseScheme } from '#contract/scheme.ts';
import { selectBackend } from '../../engine/backends/select.ts';
import { loadCalibration } from '../../engine/data/calibration.ts';
import { writeWholeFile } from '../../engine/formats/atomic-file.ts';
import { loadModel } from '../../engine/model/load.ts';
import { loadTokenizer } from '../../engine/model/tokenizer.ts';
import { analyseSensitivity, type SensitivityReport } from '../../engine/quantizers/sensitivity/index.ts';
import { requireFittingGroups, requireReadableSamples } from '../../engine/quantizers/validation.ts';
import type { CliContext } from '../context.ts';
import {
  type BackendOptions,
  backendOption,
  decimal,
  examples,
  jsonOption,
  positiveWholeNumber,
  userPath,
  wholeNumber,
} from '../options.ts';
import { usualCandidates } from '../quantize-flags.ts';
import { textTable } from '../terminal.ts';

interface SensitivityOptions extends BackendOptions {
  calibration: string;
  schemes: string;
  budget: number;
  granularity: MixedPrecision['granularity'];
  samples: number;
  sequenceLength: number;
  seed: number;
  out?: string;
  json?: boolean;
}

export function addSensitivity(program: Command, context: CliContext): void {
  const command = program
    .command('sensitivity <model>')
    .description('round each layer alone, measure the divergence from the unquantized model, and propose a mixed scheme for a size budget')
    .requiredOption('--calibration <file>', 'text to measure on (.jsonl, .parquet or .txt)')
    .requiredOption('--budget <bits>', 'bits per weight for all linears, scales included', decimal)
    .option('--schemes <list>', 'candidates, separated by commas', usualCandidates)
    .option('--granularity <unit>', 'layer or module', 'layer')
    .option('--samples <n>', 'samples of text', positiveWholeNumber, 32)
    .option('--sequence-length <n>', 'tokens per sample', positiveWholeNumber, 256)
    .option('--seed <n>', 'order of documents', wholeNumber, 0)
    .option('--out <file>', 'write scheme and overrides as JSON, for --overrides of quantize or a recipe')
    .addOption(backendOption())
    .addOption(jsonOption());
  examples(command, [
    'sensitivity sample:abacus --calibration sample:calibration/abacus.jsonl --sequence-length 128 --budget 2.75 --schemes W2G32,W3G32,W4G32 --out mixed.json',
  ]).action((model: string, options: SensitivityOptions) => sensitivity(context, userPath(model, context.resourcesDir), options));
}

async function sensitivity(context: CliContext, dir: string, options: SensitivityOptions): Promise<void> {
  const { progress, signal } = context;
  const { samples: count, sequenceLength, seed } = options;
  const path = userPath(options.calibration, context.resourcesDir);
  const calibration = calibrationSchema.parse({ path, samples: count, sequenceLength, seed });
  const candidates = options.schemes.split(',').map(parseScheme);
  const settings = mixedPrecisionSchema.parse({ budgetBits: options.budget, candidates, granularity: options.granularity, calibration });
  await selectBackend(options.backend);
  const model = await loadModel(dir, { signal });
  for (const scheme of candidates) requireFittingGroups(model.config, scheme);
  const tokenizer = await loadTokenizer(dir, { vocabSize: model.config.vocabSize });
  const samples = await loadCalibration(calibration, tokenizer, { runSeed: seed, signal });
  requireReadableSamples(model.config, samples);
  const report = await analyseSensitivity(model, samples, settings, {
    signal,
    onProgress: (done, total, detail) => progress.update('Scanning', `${done} of ${total}, ${detail}`),
  });
  model.dispose();
  progress.clear();
  const { scheme, overrides } = report.proposal;
  if (options.out) await writeWholeFile(options.out, `${JSON.stringify({ scheme, overrides }, null, 2)}\n`);
  context.print(options.json ?? false, report, () => describe(report));
}

function describe({ units, proposal, measured }: SensitivityReport): string {
  const schemes = units[0]!.options.map(({ scheme }) => formatScheme(scheme));
  const rows = units.map(({ pattern, options }, index) => [
    pattern,
    ...options.map(({ divergence }) => divergence.toExponential(2)),
    formatScheme(proposal.choices[index]!.option.scheme),
  ]);
  const right = new Set(schemes.map((_, column) => column + 1));
  const uniform = measured.uniform.map(
    ({ scheme, divergence, bitsPerWeight }) =>
      `${formatScheme(scheme)} everywhere: ${bitsPerWeight.toFixed(2)} bits per weight, divergence ${divergence.toExponential(2)}`,
  );
  return [
    'Divergence (KL, nats per token) when one unit alone is rounded:',
    textTable(['unit', ...schemes, 'proposed'], rows, right),
    '',
    `Proposed mix: ${proposal.bitsPerWeight.toFixed(2)} bits per weight, divergence ${measured.proposal.toExponential(2)} (sum of the units' ${proposal.predictedDivergence.toExponential(2)})`,
    ...uniform,
  ].join('\n');
}
