/** `quantize`: one model, one method, one scheme; a checkpoint folder and a report of per-layer error. */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { type Command, Option } from 'commander';
import { RoundoffError } from '#contract/errors.ts';
import { exportProblems } from '#contract/loadability.ts';
import {
  type ExportFormat,
  exportFormats,
  methodTitle,
  type QuantizationMethod,
  type QuantizeStage,
  quantizationMethods,
  quantizeStageSchema,
  stageScheme,
  variantTitle,
} from '#contract/recipe.ts';
import type { ModelInspection } from '#contract/records.ts';
import { parseScheme } from '#contract/scheme.ts';
import { selectBackend } from '../../engine/backends/select.ts';
import { checkFolderIsFree, writeWholeFile } from '../../engine/formats/atomic-file.ts';
import { exportCheckpoint } from '../../engine/formats/export.ts';
import type { WriteOptions } from '../../engine/formats/exporters/exporter.ts';
import { inspectModel } from '../../engine/model/inspect.ts';
import { loadTokenizer } from '../../engine/model/tokenizer.ts';
import { type QuantizedCheckpoint, quantizeCheckpoint } from '../../engine/quantizers/streaming/quantize-checkpoint.ts';
import { bytes } from '../../reports/format.ts';
import type { CliContext } from '../context.ts';
import { loadabilityTable } from '../loadability-table.ts';
import { type BackendOptions, backendOption, examples, jsonOption, positiveWholeNumber, userPath, wholeNumber } from '../options.ts';
import { describeExport } from './export.ts';

interface QuantizeOptions extends BackendOptions {
  method: QuantizationMethod;
  scheme: string;
  calibration?: string;
  samples: number;
  sequenceLength: number;
  seed: number;
  mseSearch?: boolean;
  actOrder: boolean;
  staticGroups: boolean;
  out: string;
  format: ExportFormat;
  json?: boolean;
}

export function addQuantize(program: Command, context: CliContext): void {
  const command = program
    .command('quantize <model>')
    .description('quantize a model folder and write a checkpoint with a report of per-layer error')
    .addOption(new Option('--method <name>', 'how the codes are chosen').choices(quantizationMethods).makeOptionMandatory())
    .requiredOption(
      '--scheme <scheme>',
      'W<bits>[G<group>][A<bits>][KV<bits>][:sym|:asym], NF4[:double] or INT8; for example W3G128 or W4A4KV4',
    )
    .requiredOption('--out <folder>', 'new folder for the checkpoint')
    .option('--calibration <file>', 'calibration text (.jsonl or .txt), needed by all methods but rtn, nf4 and int8')
    .option('--samples <n>', 'calibration samples', positiveWholeNumber, 128)
    .option('--sequence-length <n>', 'tokens per calibration sample', positiveWholeNumber, 512)
    .option('--seed <n>', 'order of calibration documents', wholeNumber, 0)
    .option('--mse-search', 'search a shrunken range per group (default for gptq and quarot)')
    .option('--no-mse-search', 'keep the full range of each group')
    .option('--act-order', 'gptq: columns with the largest activations first', false)
    .option('--static-groups', 'gptq: fix the grids of all groups beforehand', false)
    .addOption(new Option('--format <name>', 'what is written; see the table below').choices(exportFormats).default('roundoff'))
    .addOption(backendOption())
    .addOption(jsonOption());
  examples(command, [
    'quantize sample:abacus --method rtn --scheme W4G128 --out abacus-w4',
    'quantize sample:abacus --method gptq --scheme W2G32 --calibration sample:calibration/abacus.jsonl --sequence-length 128 --out abacus-w2 --format dequantized',
    'quantize sample:abacus --method rtn --scheme W4G128:sym --out abacus-gptq --format gptq',
  ])
    .addHelpText('after', () => `\n${loadabilityTable()}`)
    .action((model: string, options: QuantizeOptions) => quantize(context, userPath(model, context.resourcesDir), options));
}

async function quantize(context: CliContext, sourceDir: string, options: QuantizeOptions): Promise<void> {
  const { progress, signal } = context;
  const stage = stageFrom(context, options);
  requireExpressible(stage, options.format);
  const dir = path.resolve(options.out);
  await checkFolderIsFree(dir);
  const startedAt = performance.now();
  const backend = await selectBackend(options.backend);
  const inspection = await inspectModel(sourceDir, { signal });
  requireUsable(inspection);
  const scheme = stageScheme(stage);
  const quantizeTo = (outDir: string) =>
    quantizeCheckpoint({
      sourceDir,
      outDir,
      stage,
      seed: options.seed,
      modelHash: inspection.hash,
      tokenizer: () => loadTokenizer(sourceDir, { vocabSize: inspection.vocabSize }),
      metadata: { method: stage.method, scheme, options: JSON.stringify(stage.options) },
      signal,
      onLog: (message) => progress.note(message),
      onProgress: ({ unit, done, total, detail }) => progress.update('Quantizing', `${done} of ${total} ${unit}, ${detail}`),
    });
  const exporting = { signal, modelName: path.basename(sourceDir), onLog: (message: string) => progress.note(message) };
  const result = await keepingOn(dir, options.format, quantizeTo, exporting);
  const { saved } = result;
  progress.clear();
  const report = {
    out: dir,
    method: stage.method,
    scheme,
    format: options.format,
    bytes: saved.weightBytes,
    quantizedBytes: result.quantizedBytes,
    bitsPerWeight: result.bitsPerWeight,
    sha256: saved.sha256,
    ...(result.exported ? { loadsIn: result.exported.loadsIn, smokeLoad: result.exported.smokeLoad } : {}),
    layers: result.layers,
    notes: result.notes,
    ...(result.calibration ? { calibration: result.calibration } : {}),
    peakMemoryBytes: result.peakMemoryBytes,
    estimatedMemoryBytes: result.estimatedMemoryBytes,
    backend: backend.name,
  };
  await writeWholeFile(path.join(dir, 'quantization-report.json'), `${JSON.stringify(report, null, 2)}\n`);
  context.print(options.json ?? false, { ...report, timing: { elapsedMs: performance.now() - startedAt } }, () =>
    [
      `${variantTitle(stage.method, scheme)}: ${report.bitsPerWeight.toFixed(2)} bits per weight, ${bytes(saved.weightBytes)} in ${dir}`,
      `mean squared error of the weights ${mean(result.layers.map((layer) => layer.weightError)).toExponential(3)}`,
      ...(result.exported ? [result.exported.loading] : []),
      ...result.notes,
    ].join('\n'),
  );
}

function requireExpressible(stage: QuantizeStage, format: ExportFormat): void {
  const [problem] = exportProblems([stage, { type: 'export', format }]);
  if (problem)
    throw new RoundoffError(
      'unsupported',
      `--format ${format} cannot express ${variantTitle(stage.method, stage.scheme)}: ${problem}.`,
      'See the table of "quantize --help".',
    );
}

/** A format other than our own is made by way of a packed checkpoint beside the target, which is removed. */
async function keepingOn(
  dir: string,
  format: ExportFormat,
  quantizeTo: (outDir: string) => Promise<QuantizedCheckpoint>,
  options: WriteOptions,
): Promise<QuantizedCheckpoint & { exported: ReturnType<typeof describeExport> | null }> {
  if (format === 'roundoff') return { ...(await quantizeTo(dir)), exported: null };
  const packed = `${dir}.packed`;
  await rm(packed, { recursive: true, force: true });
  try {
    const result = await quantizeTo(packed);
    const exported = await exportCheckpoint(dir, { ...options, sourceDir: packed, format });
    return { ...result, saved: exported, exported: describeExport(exported) };
  } finally {
    await rm(packed, { recursive: true, force: true });
  }
}

function requireUsable({ path: dir, problems }: ModelInspection): void {
  const errors = problems.filter(({ severity }) => severity === 'error');
  const [first] = errors;
  if (!first) return;
  throw new RoundoffError('model-invalid', `${dir}: ${first.where}: ${first.message}`, first.hint, {
    problems: errors.map(({ where, message }) => `${where}: ${message}`),
  });
}

function stageFrom(context: CliContext, options: QuantizeOptions): QuantizeStage {
  const { method, mseSearch, actOrder, staticGroups } = options;
  const parsed = quantizeStageSchema.safeParse({
    type: 'quantize',
    method,
    scheme: parseScheme(options.scheme),
    ...(withoutText.has(method) ? {} : { calibration: calibrationFrom(context, options) }),
    // Only what was asked for, so that a method is not given options of another without a word.
    options: {
      ...(mseSearch === undefined ? {} : { mseSearch }),
      ...(actOrder ? { actOrder } : {}),
      ...(staticGroups ? { staticGroups } : {}),
    },
  });
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  throw new RoundoffError('bad-input', `${methodTitle(method)}: ${problems[0]}.`, 'Give only the options and schemes of the method.', {
    problems,
  });
}

const withoutText: ReadonlySet<QuantizationMethod> = new Set(['rtn', 'nf4', 'int8']);

function calibrationFrom(context: CliContext, { method, calibration, samples, sequenceLength, seed }: QuantizeOptions) {
  if (calibration !== undefined) return { path: userPath(calibration, context.resourcesDir), samples, sequenceLength, seed };
  throw new RoundoffError(
    'bad-input',
    `${methodTitle(method)} (--method ${method}) needs calibration text.`,
    'Give it with --calibration FILE, for example sample:calibration/abacus.jsonl.',
  );
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
