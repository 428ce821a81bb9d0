/** Roundoff's own checkpoint: codes, transforms and activation quantizers exactly as they are. */
import type { LayerActivations } from '../../model/layer-activations.ts';
import { parameterShapes } from '../../model/parameters.ts';
import { activationTensors } from '../activation-layout.ts';
import type { ExportSource } from '../export-source.ts';
import { packedTensors, quantizationConfig } from '../quantized-layout.ts';
import type { TensorToWrite } from '../safetensors.ts';
import type { StoredLinear } from '../stored-linear.ts';
import { copiedTensor, type Exporter, writeModelFolder } from './exporter.ts';

export const roundoffExporter: Exporter = {
  problems: () => [],
  async write(source, dir, options) {
    const quantized = await readAll(source);
    const activations = await readAllActivations(source);
    const tensors: TensorToWrite[] = [];
    for (const [name, shape] of parameterShapes(source.config)) {
      if (source.isQuantized(name)) {
        const module = name.slice(0, -'.weight'.length);
        tensors.push(...packedTensors(module, quantized.get(module)!));
      } else tensors.push(copiedTensor(source, name, shape));
    }
    for (const [index, layer] of activations.entries()) if (layer) tensors.push(...activationTensors(index, layer));
    const changes = quantized.size > 0 ? { quantization_config: quantizationConfig(quantized, activations) } : {};
    return writeModelFolder(source, dir, { tensors, changes }, options);
  },
};

async function readAll(source: ExportSource): Promise<Map<string, StoredLinear>> {
  const quantized = new Map<string, StoredLinear>();
  for (const module of source.modules) quantized.set(module, await source.readStored(module));
  return quantized;
}

async function readAllActivations(source: ExportSource): Promise<(LayerActivations | null)[]> {
  const activations: (LayerActivations | null)[] = [];
  for (let index = 0; index < source.config.layers; index++) activations.push(await source.readActivations(index));
  return activations;
}
