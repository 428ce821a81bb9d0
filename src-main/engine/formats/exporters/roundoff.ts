/** Roundoff's own checkpoint: codes, transforms, activation quantizers and a LoRA adapter exactly as they are. */
import type { JsonObject } from '../../data/json-file.ts';
import type { LayerActivations } from '../../model/layer-activations.ts';
import { activationTensors } from '../activation-layout.ts';
import { copyAdapter } from '../adapter.ts';
import { packedTensors, quantizationConfig } from '../quantized-layout.ts';
import { denseTensors, type Exporter, lazyTensors, writeModelFolder } from './exporter.ts';

export const roundoffExporter: Exporter = {
  problems: () => [],
  async write(source, dir, options) {
    const tensors = denseTensors(source);
    const modules: JsonObject = {};
    for (const module of source.modules) {
      const single = quantizationConfig(new Map([[module, await source.readStored(module)]]));
      Object.assign(modules, single.modules);
      tensors.push(...(await lazyTensors(source, module, (linear) => packedTensors(module, linear))));
    }
    const activations: (LayerActivations | null)[] = [];
    for (let index = 0; index < source.config.layers; index++) activations.push(await source.readActivations(index));
    for (const [index, layer] of activations.entries()) if (layer) tensors.push(...activationTensors(index, layer));
    const section = { ...quantizationConfig(new Map(), activations), modules };
    const changes = source.modules.length > 0 ? { quantization_config: section } : {};
    const files = await writeModelFolder(source, dir, { tensors, changes }, options);
    return source.adapter ? [...files, ...(await copyAdapter(source.dir, dir))] : files;
  },
};
