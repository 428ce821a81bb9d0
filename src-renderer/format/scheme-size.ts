/** What a checkpoint weighs under a scheme: as the inspection states it, or estimated from the model's shape. Pure. */
import type { ModelInspection } from '#contract/records.ts';
import { bitsPerWeight, formatScheme, type QuantizationScheme } from '#contract/scheme.ts';

export interface SchemeSize {
  sizeBytes: number;
  bitsPerWeight: number;
  /** Why the model cannot take the scheme; null when it can. */
  unsupported: string | null;
  /** True when the inspection does not list the scheme and the figures are computed from the model's shape. */
  estimated: boolean;
}

export function schemeSize(model: ModelInspection, scheme: QuantizationScheme): SchemeSize {
  const listed = model.schemeSizes.find((entry) => entry.scheme === formatScheme(scheme));
  if (listed)
    return { sizeBytes: listed.sizeBytes, bitsPerWeight: listed.bitsPerWeight, unsupported: listed.unsupported, estimated: false };
  const bits = bitsPerWeight(scheme, model.hiddenSize);
  const linear = linearParameters(model);
  const storedBytesPerParameter = model.sizeBytes / Math.max(1, model.parameters);
  const sizeBytes = (linear * bits) / 8 + (model.parameters - linear) * storedBytesPerParameter;
  return { sizeBytes, bitsPerWeight: bits, unsupported: groupProblem(model, scheme), estimated: true };
}

function linearParameters(model: ModelInspection): number {
  const query = model.attentionHeads * model.headDim;
  const keyValue = model.keyValueHeads * model.headDim;
  const attention = model.hiddenSize * (2 * query + 2 * keyValue);
  return model.layers * (attention + 3 * model.hiddenSize * model.intermediateSize);
}

function groupProblem(model: ModelInspection, scheme: QuantizationScheme): string | null {
  const group = scheme.groupSize;
  if (group === null) return null;
  const widths = [model.hiddenSize, model.attentionHeads * model.headDim, model.intermediateSize];
  const bad = widths.find((width) => width % group !== 0);
  return bad === undefined ? null : `A linear layer has ${bad} inputs, which ${group} does not divide.`;
}
