/** Writes the model in a checkpoint folder in another format, for other runtimes. */
import { RoundoffError } from '#contract/errors.ts';
import type { ExportFormat } from '#contract/recipe.ts';
import { readModelConfig } from '../model/config.ts';
import type { LayerActivations } from '../model/layer-activations.ts';
import { readStoredLayout } from '../model/load.ts';
import { linearShape } from '../model/parameters.ts';
import { readActivations } from './activation-layout.ts';
import { ProblemList } from './problems.ts';
import { type SavedCheckpoint, saveQuantizedCheckpoint } from './quantized-checkpoint.ts';
import { readStoredLinear } from './quantized-layout.ts';
import { openCheckpoint } from './safetensors.ts';
import type { StoredLinear } from './stored-linear.ts';

export interface ExportOptions {
  /** A `roundoff` checkpoint, or a plain model folder. */
  sourceDir: string;
  format: ExportFormat;
  metadata?: Record<string, string>;
  /** Replace an existing folder. */
  replace?: boolean;
  signal?: AbortSignal;
}

/** Writes the folder `dir`, whole or not at all. Throws `unsupported` when the format cannot express the model. */
export async function exportCheckpoint(dir: string, options: ExportOptions): Promise<SavedCheckpoint> {
  const { sourceDir, format } = options;
  if (format !== 'roundoff' && format !== 'dequantized')
    throw new RoundoffError('unsupported', `The export format ${format} is not part of this version.`, 'Choose roundoff or dequantized.');
  const { quantized, activations } = await readQuantized(sourceDir);
  return saveQuantizedCheckpoint(dir, { ...options, format, quantized, activations });
}

async function readQuantized(dir: string): Promise<{ quantized: Map<string, StoredLinear>; activations: (LayerActivations | null)[] }> {
  const config = await readModelConfig(dir);
  const problems = new ProblemList();
  const layout = await readStoredLayout(dir, config, problems);
  const checkpoint = await openCheckpoint(dir);
  try {
    const quantized = new Map<string, StoredLinear>();
    for (const [module, scheme] of layout.schemes) {
      const stored = await readStoredLinear(checkpoint, module, linearShape(config, module), scheme, problems);
      if (stored) quantized.set(module, stored);
    }
    problems.throwErrors(dir);
    const activations: (LayerActivations | null)[] = [];
    for (const [index, layer] of layout.activations.entries()) {
      activations.push(layer ? await readActivations(checkpoint, index, layer) : null);
    }
    return { quantized, activations };
  } finally {
    await checkpoint.close();
  }
}
