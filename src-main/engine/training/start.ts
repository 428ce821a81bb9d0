/** What lies in the folder a train stage starts from, as far as its files' headers tell: asked before anything is loaded. */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { type AdapterSettings, readAdapterSettings } from '../formats/adapter.ts';
import { ProblemList } from '../formats/problems.ts';
import { trainedFile } from '../formats/quantized-checkpoint.ts';
import type { StoredIntegerScheme, StoredNf4Scheme } from '../formats/quantized-layout.ts';
import { openCheckpoint } from '../formats/safetensors.ts';
import { type ModelConfig, readModelConfig } from '../model/config.ts';
import { readStoredLayout } from '../model/load.ts';
import { linearShape } from '../model/parameters.ts';

export interface TrainingStart {
  dir: string;
  config: ModelConfig;
  /** How quantized linears are stored, by module; a group size is that of whole rows where there is one scale per row. */
  schemes: Map<string, StoredIntegerScheme | StoredNf4Scheme>;
  adapter: AdapterSettings | null;
  /** LLM.int8(): activations are rounded apart from outliers. */
  isInt8: boolean;
  /** FlatQuant's transforms and clip factors lie beside the weights. */
  hasTransforms: boolean;
  /** Notes in the header of the weights. */
  metadata: Readonly<Record<string, string>>;
}

/** Throws one error that lists what is wrong with the folder. */
export async function readTrainingStart(dir: string): Promise<TrainingStart> {
  const config = await readModelConfig(dir);
  const checkpoint = await openCheckpoint(dir);
  try {
    const problems = new ProblemList();
    const layout = await readStoredLayout(checkpoint, config, problems);
    const adapter = await readAdapterSettings(dir, config, problems);
    problems.throwErrors(dir);
    const schemes: TrainingStart['schemes'] = new Map();
    for (const [module, scheme] of layout.schemes) {
      const form = scheme.coding === 'foreign' ? scheme.form : scheme;
      const isWholeRow = form.coding === 'integer' && form.groupSize === -1;
      schemes.set(module, isWholeRow ? { ...form, groupSize: linearShape(config, module)[1] } : form);
    }
    const isInt8 = layout.activations.some((layer) =>
      Object.values(layer?.sites ?? {}).some(({ quantizer }) => quantizer !== null && quantizer.outlierThreshold !== null),
    );
    const { metadata } = checkpoint;
    return { dir, config, schemes, adapter, isInt8, hasTransforms: await exists(join(dir, trainedFile)), metadata };
  } finally {
    await checkpoint.close();
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
