/** Why a format cannot express a model, module by module. The rules themselves are those of the contract's loadability matrix. */
import { type ModelFacts, reasonAgainst } from '#contract/loadability.ts';
import type { ExportFormat } from '#contract/recipe.ts';
import type { QuantizationScheme } from '#contract/scheme.ts';
import { decoderLinears } from '../../model/parameters.ts';
import type { ExportSource } from '../export-source.ts';
import { groupCount } from '../packed-linear.ts';

/** What decides where the model loads, as far as it can be told without reading weights. */
export function sourceFacts(source: ExportSource): ModelFacts {
  const isOnline = onlineLayers(source).length > 0;
  return {
    schemes: [...moduleSchemes(source).values()],
    online: isOnline ? 'activations, keys or values are transformed or rounded at run time' : null,
    scattered: source.modules.some((module) => isScattered(source, module)),
    adapter: source.adapter !== null,
  };
}

/** What the loadability matrix holds against this model in `format`, with the modules concerned. */
export function schemeProblems(source: ExportSource, format: ExportFormat): string[] {
  const facts = sourceFacts(source);
  const reason = reasonAgainst(format, facts);
  if (reason === null) return [];
  if (facts.adapter && reasonAgainst(format, { ...facts, adapter: false }) === null) return [reason];
  if (facts.online) return onlineLayers(source).map((place) => `${place}: ${reason}`);
  if (source.modules.length === 0) return [reason];
  const schemes = moduleSchemes(source);
  const against = (scheme: QuantizationScheme | null) => scheme && reasonAgainst(format, { schemes: [scheme], online: null });
  const scattered = source.modules.filter((module) => isScattered(source, module));
  if (facts.scattered && reasonAgainst(format, { ...facts, scattered: false }) === null)
    return scattered.map((module) => `${module}: ${reason}`);
  const alone = [...schemes].filter(([, scheme]) => against(scheme) !== null);
  const first = JSON.stringify(schemes.get(source.modules[0]!));
  const different = [...schemes].filter(([, scheme]) => JSON.stringify(scheme) !== first);
  return (alone.length > 0 ? alone : different).map(([module]) => `${module}: ${reason}`);
}

/** Modules whose last group is shorter than the others, which most loaders reject. */
export function shortGroupProblems(source: ExportSource, format: ExportFormat): string[] {
  const size = commonGroupSize(source);
  return [...moduleSchemes(source)].flatMap(([module, scheme]) => {
    const groupSize = size ?? scheme?.groupSize ?? 0;
    const inFeatures = source.shape(module)[1];
    if (!scheme || scheme.coding || groupSize <= 0 || inFeatures % groupSize === 0) return [];
    const last = inFeatures - (groupCount(inFeatures, groupSize) - 1) * groupSize;
    return [
      `${module}: its last group has ${last} inputs instead of ${groupSize}, which ${format} cannot hold; quantize with a group size that divides ${inFeatures}`,
    ];
  });
}

/** Inputs per group over all quantized integer modules, −1 for one scale per row; null when they differ. */
export function commonGroupSize(source: ExportSource): number | null {
  const stored = source.modules.map((module) => ({ size: storedGroupSize(source, module), inFeatures: source.shape(module)[1] }));
  const first = stored[0]?.size ?? -1;
  if (stored.every(({ size }) => size === first)) return first;
  return stored.every(({ size, inFeatures }) => size === inFeatures) ? -1 : null;
}

function storedGroupSize(source: ExportSource, module: string): number {
  const form = source.form(module);
  return form.coding === 'nf4' ? 64 : form.groupSize === -1 ? source.shape(module)[1] : form.groupSize;
}

/** By decoder linear, in execution order; null where it is not quantized. */
export function moduleSchemes(source: ExportSource): Map<string, QuantizationScheme | null> {
  const common = commonGroupSize(source);
  return new Map(
    decoderLinears(source.config).map((module) => [
      module,
      source.layout.schemes.has(module) ? schemeOfModule(source, module, common) : null,
    ]),
  );
}

/** A group that is a whole row counts as a group where all linears share that size, else as one scale per row. */
function schemeOfModule(source: ExportSource, module: string, common: number | null): QuantizationScheme {
  const form = source.form(module);
  if (form.coding === 'nf4')
    return { coding: 'nf4', bits: 4, symmetric: true, strategy: 'group', groupSize: 64, doubleQuantization: form.isNested };
  const size = storedGroupSize(source, module);
  const isChannel = common === -1 || (common === null && size === source.shape(module)[1]);
  const { bits, symmetric } = form;
  return { bits, symmetric, strategy: isChannel ? 'channel' : 'group', groupSize: isChannel ? null : size };
}

/** Of other tools' checkpoints only the values tell. */
function isScattered(source: ExportSource, module: string): boolean {
  const scheme = source.layout.schemes.get(module)!;
  return scheme.coding === 'integer' && scheme.hasGroupIndex;
}

/** The decoder linears that are not quantized. */
export function floatLinears(source: ExportSource): string[] {
  return decoderLinears(source.config).filter((module) => !source.layout.schemes.has(module));
}

/** The layers whose activations are transformed or quantized. */
function onlineLayers(source: ExportSource): string[] {
  return Array.from({ length: source.config.layers }, (_, index) => index)
    .filter((index) => source.hasActivations(index))
    .map((index) => `model.layers.${index}`);
}
