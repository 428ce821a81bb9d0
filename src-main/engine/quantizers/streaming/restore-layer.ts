/** Brings a finished layer back onto the model, as the calibration of later layers saw it. */
import { parseActivationsConfig, readActivations } from '../../formats/activation-layout.ts';
import { ProblemList } from '../../formats/problems.ts';
import { parseQuantizationConfig, readStoredLinear } from '../../formats/quantized-layout.ts';
import { type Checkpoint, openCheckpoint } from '../../formats/safetensors.ts';
import type { LanguageModel } from '../../model/language-model.ts';
import { withoutQuantizers } from '../../model/layer-activations.ts';
import { PackedLinearOp } from '../../model/linear-op.ts';
import { activationSizes, decoderLinears, linearShape, parameterShapes } from '../../model/parameters.ts';
import type { PartRecord } from './work-folder.ts';

/** Sets changed parameters, packed linears and transforms of layer `index`, whose dense parameters the model holds. */
export async function restoreLayer(model: LanguageModel, index: number, dir: string, record: PartRecord): Promise<void> {
  const part = await openCheckpoint(dir);
  const problems = new ProblemList();
  try {
    await restoreParameters(model, part);
    const section = { quant_method: 'roundoff', format_version: 2, modules: record.modules, layers: [record.activations] };
    const config = { quantization_config: section };
    if (Object.keys(record.modules).length > 0) {
      for (const [module, scheme] of parseQuantizationConfig(config, new Set(decoderLinears(model.config)), problems)) {
        const stored = await readStoredLinear(part, module, linearShape(model.config, module), scheme, problems);
        if (stored) model.setLinear(module, new PackedLinearOp(model.parameters, module, stored));
      }
    }
    const [activations] = parseActivationsConfig(config, 1, activationSizes(model.config), problems);
    problems.throwErrors(dir);
    if (activations) model.setActivations(index, withoutQuantizers(await readActivations(part, index, activations)));
  } finally {
    await part.close();
  }
}

/** Sets the dense parameters that a part holds. */
export async function restoreParameters(model: LanguageModel, part: Checkpoint): Promise<void> {
  const shapes = parameterShapes(model.config);
  for (const name of part.tensors.keys()) {
    const shape = shapes.get(name);
    if (shape) model.setParameter(name, await part.readFloats(name), shape);
  }
}
