/**
 * Writes the model in a checkpoint folder in another format, for other runtimes. Each format is an `Exporter` of its own; this file asks it
 * whether it can express the model before anything is written, and puts the folder in place whole or not at all.
 */
import { RoundoffError } from '#contract/errors.ts';
import type { ExportFormat } from '#contract/recipe.ts';
import { writeFolderAtomically } from './atomic-file.ts';
import { ExportSource } from './export-source.ts';
import { dequantizedExporter } from './exporters/dequantized.ts';
import type { Exporter } from './exporters/exporter.ts';
import { roundoffExporter } from './exporters/roundoff.ts';
import { type SavedCheckpoint, summarizeFolder } from './quantized-checkpoint.ts';

export interface ExportOptions {
  /** A `roundoff` checkpoint, or a plain model folder. */
  sourceDir: string;
  format: ExportFormat;
  metadata?: Record<string, string>;
  /** Replace an existing folder. */
  replace?: boolean;
  signal?: AbortSignal;
}

const exporters: Record<ExportFormat, Exporter> = {
  roundoff: roundoffExporter,
  dequantized: dequantizedExporter,
  gptq: missing('gptq'),
  'gptq-v2': missing('gptq-v2'),
  awq: missing('awq'),
  bitsandbytes: missing('bitsandbytes'),
  'compressed-tensors': missing('compressed-tensors'),
  'gguf-f16': missing('gguf-f16'),
  'gguf-q8_0': missing('gguf-q8_0'),
  'gguf-q4_0': missing('gguf-q4_0'),
};

/** Writes the folder `dir`, whole or not at all. Throws `unsupported`, listing every module, when the format cannot express the model. */
export async function exportCheckpoint(dir: string, options: ExportOptions): Promise<SavedCheckpoint> {
  const { format, metadata, replace = false, signal } = options;
  const exporter = exporters[format];
  const source = await ExportSource.open(options.sourceDir);
  try {
    refuse(format, await exporter.problems(source));
    const files = await writeFolderAtomically(dir, (temporary) => exporter.write(source, temporary, { metadata, signal }), { replace });
    return summarizeFolder(dir, files);
  } finally {
    await source.close();
  }
}

function refuse(format: ExportFormat, problems: readonly string[]): void {
  const [first] = problems;
  if (first === undefined) return;
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
  throw new RoundoffError(
    'unsupported',
    `The format ${format} cannot express this model: ${first}${more}.`,
    'Export it in a format that can; "roundoff" holds everything.',
    { problems: [...problems] },
  );
}

function missing(format: string): Exporter {
  const refusal = () => {
    throw new RoundoffError('unsupported', `The export format ${format} is not part of this version.`, 'Choose roundoff or dequantized.');
  };
  return { problems: refusal, write: refusal };
}
