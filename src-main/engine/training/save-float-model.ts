/** A trained float model as a Hugging Face folder: F32 weights, everything else as in the model it was trained from. */
import { type SavedCheckpoint, saveQuantizedCheckpoint } from '../formats/quantized-checkpoint.ts';
import type { LanguageModel } from '../model/language-model.ts';
import type { SaveOptions } from './trainee.ts';

/** Throws `disk-full`, `read-only`, `cancelled`. */
export async function saveFloatModel(
  dir: string,
  sourceDir: string,
  model: LanguageModel,
  { metadata, replace, signal }: SaveOptions,
): Promise<SavedCheckpoint> {
  const parameters = new Map<string, { values: Float32Array; shape: readonly number[] }>();
  for (const [name, tensor] of model.parameters)
    parameters.set(name, { values: Float32Array.from(await tensor.data<'float32'>()), shape: tensor.shape });
  return saveQuantizedCheckpoint(dir, { sourceDir, quantized: new Map(), parameters, metadata, replace, ...(signal ? { signal } : {}) });
}
