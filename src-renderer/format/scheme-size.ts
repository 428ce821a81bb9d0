/** What a checkpoint weighs under a scheme: as the inspection states it, or estimated from the model's shape. Pure. */
import { decoderModules, type LayerLinear, type SchemeMap, schemeOfModule } from '#contract/overrides.ts';
import type { QuantizationMethod } from '#contract/recipe.ts';
import type { ModelInspection } from '#contract/records.ts';
import { bitsPerWeight, formatScheme, type QuantizationScheme } from '#contract/scheme.ts';

export interface SchemeSize {
  sizeBytes: number;
  /** Over the quantized linears; NaN when none is quantized. */
  bitsPerWeight: number;
  /** Why the model cannot take the scheme; null when it can. */
  unsupported: string | null;
  /** True when the inspection does not list the scheme and the figures are computed from the model's shape. */
  estimated: boolean;
}

export function schemeSize(model: ModelInspection, variant: SchemeMap & { method?: QuantizationMethod }): SchemeSize {
  const { scheme, overrides = [], method } = variant;
  // Activations and cached keys and values take no room in a checkpoint.
  const stored = formatScheme({ ...scheme, activationBits: undefined, kvBits: undefined });
  const listed = model.schemeSizes.find((entry) => entry.scheme === stored);
  const addsTensors = method === 'quarot' || method === 'flatquant';
  if (listed && overrides.length === 0 && !addsTensors) {
    const { sizeBytes, bitsPerWeight, unsupported } = listed;
    return { sizeBytes, bitsPerWeight, unsupported, estimated: false };
  }
  return { ...estimate(model, variant), estimated: true };
}

function estimate(model: ModelInspection, variant: SchemeMap & { method?: QuantizationMethod }): Omit<SchemeSize, 'estimated'> {
  const storedBytes = model.sizeBytes / Math.max(1, model.parameters);
  let [bits, quantized] = [0, 0];
  let problem: string | null = null;
  for (const module of decoderModules(model.layers)) {
    const [outFeatures, inFeatures] = linearShape(model, module);
    const scheme = schemeOfModule(variant, module);
    if (!scheme) continue;
    bits += bitsPerWeight(scheme, inFeatures) * outFeatures * inFeatures;
    quantized += outFeatures * inFeatures;
    problem ??= groupProblem(scheme, inFeatures);
  }
  // QuaRot folds norms into the head, which then differs from the embeddings.
  const untied = variant.method === 'quarot' && model.tiedEmbeddings ? model.vocabSize * model.hiddenSize : 0;
  const sizeBytes = bits / 8 + (model.parameters - quantized + untied) * storedBytes;
  return { sizeBytes, bitsPerWeight: bits / quantized, unsupported: problem };
}

/** [out, in] of a decoder linear. */
function linearShape(model: ModelInspection, module: string): [number, number] {
  const { hiddenSize, intermediateSize } = model;
  const query = model.attentionHeads * model.headDim;
  const keyValue = model.keyValueHeads * model.headDim;
  const shapes: Record<LayerLinear, [number, number]> = {
    'self_attn.q_proj': [query, hiddenSize],
    'self_attn.k_proj': [keyValue, hiddenSize],
    'self_attn.v_proj': [keyValue, hiddenSize],
    'self_attn.o_proj': [hiddenSize, query],
    'mlp.gate_proj': [intermediateSize, hiddenSize],
    'mlp.up_proj': [intermediateSize, hiddenSize],
    'mlp.down_proj': [hiddenSize, intermediateSize],
  };
  return shapes[module.split('.').slice(3).join('.') as LayerLinear];
}

function groupProblem(scheme: QuantizationScheme, inFeatures: number): string | null {
  const { groupSize, coding } = scheme;
  if (groupSize === null || coding || inFeatures % groupSize === 0) return null;
  return `A linear layer has ${inFeatures} inputs, which ${groupSize} does not divide.`;
}
