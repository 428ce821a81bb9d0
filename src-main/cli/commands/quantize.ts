/** `quantize`: one model, one method, one scheme; a checkpoint folder and a report of per-layer error. */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { type Command, Option } from 'commander';
import { RoundoffError } from '#contract/errors.ts';
import { exportProblems } from '#contract/loadability.ts';
import { type ExportFormat, exportFormats, type QuantizeStage, quantizationMethods, stageScheme, variantTitle } from '#contract/recipe.ts';
import { selectBackend } from '../../engine/backends/select.ts';
import { checkFolderIsFree, writeWholeFile } from '../../engine/formats/atomic-file.ts';
import { exportCheckpoint } from '../../engine/formats/export.ts';
import type { WriteOptions } from '../../engine/formats/exporters/exporter.ts';
import { inspectModel, requireUsable } from '../../engine/model/inspect.ts';
import { loadTokenizer } from '../../engine/model/tokenizer.ts';
import { type QuantizedCheckpoint, quantizeCheckpoint } from '../../engine/quantizers/streaming/quantize-checkpoint.ts';
import { bytes } from '../../reports/format.ts';
import type { CliContext } from '../context.ts';
import { loadabilityTable } from '../loadability-table.ts';
import { type BackendOptions, backendOption, examples, jsonOption, userPath } from '../options.ts';
import { addQuantizeFlags, givenFlags, type QuantizeFlags } from '../quantize-flags.ts';
import { quantizeStage } from '../quantize-stage-options.ts';
import { describeExport } from './export.ts';

interface QuantizeOptions extends BackendOptions {
  seed: number;
  out: string;
  format: ExportFormat;
  json?: boolean;
}

const text = '--calibration sample:calibration/abacus.jsonl --sequence-length 128';
const exampleLines = [
  'quantize sample:abacus --method rtn --scheme W4G128 --out abacus-w4',
  `quantize sample:abacus --method gptq --scheme W2G32 ${text} --act-order --static-groups --out abacus-w2 --format dequantized`,
  'quantize sample:abacus --method gptq --scheme W3G128 --solutions sample:benchmarks/abacus-sums.jsonl --solutions-max-new-tokens 128 --sequence-length 128 --domain sums --out abacus-w3',
  `quantize sample:abacus --method awq --scheme W4G128 ${text} --out abacus-awq --format awq`,
  'quantize sample:abacus --method nf4 --scheme NF4:double --out abacus-nf4 --format bitsandbytes',
  'quantize sample:abacus --method int8 --scheme INT8 --out abacus-int8',
  `quantize sample:abacus --method quarot --scheme W4A4KV4 ${text} --out abacus-quarot`,
  `quantize sample:abacus --method flatquant --scheme W4A4KV4 ${text} --epochs 5 --out abacus-flatquant`,
  `quantize sample:abacus --method gptq --mixed-budget 3 --mixed-schemes W2G32,W3G32,W4G32 ${text} --out abacus-mixed`,
  `quantize sample:abacus --method gptq --overrides mixed.json ${text} --out abacus-by-hand`,
];

export function addQuantize(program: Command, context: CliContext): void {
  const command = program
    .command('quantize <model>')
    .description('quantize a model folder and write a checkpoint with a report of per-layer error')
    .addOption(new Option('--method <name>', 'how the codes are chosen').choices(quantizationMethods).makeOptionMandatory())
    .requiredOption('--out <folder>', 'new folder for the checkpoint')
    .addOption(new Option('--format <name>', 'what is written; see the table below').choices(exportFormats).default('roundoff'))
    .addOption(backendOption())
    .addOption(jsonOption());
  addQuantizeFlags(command);
  examples(command, exampleLines)
    .addHelpText('after', () => `\n${loadabilityTable()}`)
    .action((model: string, options: QuantizeOptions) =>
      quantize(context, userPath(model, context.resourcesDir), options, givenFlags(command)),
    );
}

async function quantize(context: CliContext, sourceDir: string, options: QuantizeOptions, given: QuantizeFlags): Promise<void> {
  const { progress, signal } = context;
  const stage = await quantizeStage(given, context.resourcesDir);
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
  if (format !== 'roundoff' && stage.method === 'gptq' && stage.options.keepLatents)
    throw new RoundoffError('unsupported', `--format ${format} has no place for latents.`, 'Leave out --keep-latents, or --format.');
  const [problem] = exportProblems([stage, { type: 'export', format }]);
  if (problem)
    throw new RoundoffError(
      'unsupported',
      `--format ${format} cannot express ${variantTitle(stage.method, stageScheme(stage))}: ${problem}.`,
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

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
