/**
 * A plain Hugging Face checkpoint with the rounded weights, for every runtime that loads dense models. Rounded weights are exact in float32
 * only, so that is the model's type; what was not quantized keeps its own. A LoRA adapter is merged into the weights.
 */
import { parameterShapes } from '../../model/parameters.ts';
import { copiedTensor, type Exporter, writeModelFolder } from './exporter.ts';
import { schemeProblems } from './limits.ts';

export const dequantizedExporter: Exporter = {
  problems: (source) => schemeProblems(source, 'dequantized'),
  write(source, dir, options) {
    const tensors = [...parameterShapes(source.config)].map(([name, shape]) =>
      source.isQuantized(name) || source.isAdapted(name)
        ? ({ name, dtype: 'F32', shape, values: () => source.readFloats(name) } as const)
        : copiedTensor(source, name, shape),
    );
    const changes = source.modules.length > 0 || source.adapter ? { dtype: 'float32', torch_dtype: 'float32' } : {};
    return writeModelFolder(source, dir, { tensors, changes }, options);
  },
};
