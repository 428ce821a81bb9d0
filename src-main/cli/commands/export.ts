/** `export`: a checkpoint in the format of another runtime, read back before it gets its name. */
import path from 'node:path';
import { type Command, Option } from 'commander';
import { describeLoading, describeSmokeLoad } from '#contract/loadability.ts';
import { type ExportFormat, exportFormats } from '#contract/recipe.ts';
import type { SmokeLoad } from '#contract/worker.ts';
import { selectBackend } from '../../engine/backends/select.ts';
import { checkFolderIsFree } from '../../engine/formats/atomic-file.ts';
import { type ExportedModel, exportCheckpoint } from '../../engine/formats/export.ts';
import { bytes } from '../../reports/format.ts';
import type { CliContext } from '../context.ts';
import { loadabilityTable } from '../loadability-table.ts';
import { type BackendOptions, backendOption, examples, jsonOption, userPath } from '../options.ts';

interface ExportOptions extends BackendOptions {
  format: ExportFormat;
  out: string;
  json?: boolean;
}

export function addExport(program: Command, context: CliContext): void {
  const command = program
    .command('export <checkpoint>')
    .description('write a checkpoint in the format of another runtime and check what was written')
    .addOption(new Option('--format <name>', 'what is written; see the table below').choices(exportFormats).makeOptionMandatory())
    .requiredOption('--out <folder>', 'new folder for the export')
    .addOption(backendOption())
    .addOption(jsonOption());
  examples(command, ['export abacus-w4 --format gptq --out abacus-gptq', 'export abacus-w4 --format gguf-q8_0 --out abacus-gguf --json'])
    .addHelpText('after', () => `\n${loadabilityTable()}`)
    .action((checkpoint: string, options: ExportOptions) => exportTo(context, userPath(checkpoint, context.resourcesDir), options));
}

async function exportTo(context: CliContext, sourceDir: string, options: ExportOptions): Promise<void> {
  const { format } = options;
  const dir = path.resolve(options.out);
  await checkFolderIsFree(dir);
  const backend = await selectBackend(options.backend);
  context.progress.update('Exporting', `${format} to ${dir}`);
  const exported = await exportCheckpoint(dir, {
    sourceDir,
    format,
    signal: context.signal,
    onLog: (message) => context.progress.note(message),
  });
  context.progress.clear();
  const { loading, loadsIn, smokeLoad } = describeExport(exported);
  const { sizeBytes, weightBytes, sha256, files } = exported;
  const { note } = exported.loadability;
  const result = { out: dir, format, sizeBytes, weightBytes, sha256, files, loadsIn, note, smokeLoad, backend: backend.name };
  context.print(options.json ?? false, result, () => [`${format}: ${bytes(sizeBytes)} in ${dir}`, loading].join('\n'));
}

/** Where an export loads and what reading it back gave. */
export function describeExport(exported: ExportedModel): { loading: string; loadsIn: string[]; smokeLoad: SmokeLoad } {
  const { loadability, roundoffOnly, smokeLoad } = exported;
  return {
    loading: `${describeLoading(loadability, roundoffOnly)}; ${describeSmokeLoad(smokeLoad)}`,
    loadsIn: roundoffOnly ? [] : loadability.runtimes,
    smokeLoad,
  };
}
