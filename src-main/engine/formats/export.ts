/**
 * Writes the model in a checkpoint folder in another format, for other runtimes. Each format is an `Exporter` of its own; this file asks it
 * whether it can express the model before anything is written, reads the files back before they get their name, and puts the folder in place
 * whole or not at all.
 */
import { RoundoffError } from '#contract/errors.ts';
import { type Loadability, loadabilityOf } from '#contract/loadability.ts';
import type { ExportFormat } from '#contract/recipe.ts';
import type { SmokeLoad } from '#contract/worker.ts';
import { loadModel } from '../model/load.ts';
import { writeFolderAtomically } from './atomic-file.ts';
import { ExportSource } from './export-source.ts';
import { awqExporter } from './exporters/awq.ts';
import { bitsandbytesExporter } from './exporters/bitsandbytes.ts';
import { compressedTensorsExporter } from './exporters/compressed-tensors.ts';
import { dequantizedExporter } from './exporters/dequantized.ts';
import { type Exporter, exactShare, type WriteOptions } from './exporters/exporter.ts';
import { ggufExporter } from './exporters/gguf.ts';
import { gptqExporter } from './exporters/gptq.ts';
import { sourceFacts } from './exporters/limits.ts';
import { roundoffExporter } from './exporters/roundoff.ts';
import { type SavedCheckpoint, summarizeFolder } from './quantized-checkpoint.ts';
import { smokeLoad } from './smoke-load.ts';

export interface ExportOptions extends WriteOptions {
  /** A `roundoff` checkpoint, a plain model folder, or a checkpoint of another tool that Roundoff reads. */
  sourceDir: string;
  format: ExportFormat;
  /** Replace an existing folder. */
  replace?: boolean;
}

export interface ExportedModel extends SavedCheckpoint {
  smokeLoad: SmokeLoad;
  /** Where the files load, and under which conditions. */
  loadability: Loadability;
  /** Why only Roundoff computes this model, whatever the format; null when other runtimes can. */
  roundoffOnly: string | null;
}

export const exporters: Record<ExportFormat, Exporter> = {
  roundoff: roundoffExporter,
  dequantized: dequantizedExporter,
  gptq: gptqExporter('gptq'),
  'gptq-v2': gptqExporter('gptq-v2'),
  awq: awqExporter,
  bitsandbytes: bitsandbytesExporter,
  'compressed-tensors': compressedTensorsExporter,
  'gguf-f16': ggufExporter('gguf-f16'),
  'gguf-q8_0': ggufExporter('gguf-q8_0'),
  'gguf-q4_0': ggufExporter('gguf-q4_0'),
};

/**
 * Writes the folder `dir`, whole or not at all. Throws `unsupported`, listing every module, when the format cannot express the model, and
 * `numeric` when the written files, read back, do not give the model's logits; nothing is left then. Computes on the current backend.
 */
export async function exportCheckpoint(dir: string, options: ExportOptions): Promise<ExportedModel> {
  const { sourceDir, format, metadata, replace = false, signal } = options;
  const exporter = exporters[format];
  const source = await ExportSource.open(sourceDir);
  try {
    refuse(format, await exporter.problems(source));
    const load = exporter.load ?? loadModel;
    const original = () => loadModel(sourceDir, signal ? { signal } : {});
    const produce = async (temporary: string) => {
      const files = await exporter.write(source, temporary, { ...options, metadata: { ...source.metadata, ...metadata } });
      const checked = await smokeLoad({
        original,
        round: exporter.round,
        reloaded: () => load(temporary, { source, ...(signal ? { signal } : {}) }),
        allowedShare: exporter.allowedShare ?? exactShare,
        format,
        signal,
      });
      return { files, checked };
    };
    const { files, checked } = await writeFolderAtomically(dir, produce, { replace });
    const facts = sourceFacts(source);
    const loadability = loadabilityOf(facts).find((entry) => entry.format === format)!;
    return { ...summarizeFolder(dir, files), smokeLoad: checked, loadability, roundoffOnly: facts.online };
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
