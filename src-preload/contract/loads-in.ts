/** In words where a variant can be loaded, from the matrix of formats. Pure. */
import { factsAfter, type Loadability, loadabilityOf, type ModelFacts, stageFacts } from './loadability.ts';
import type { ExportFormat, QuantizeStage, Stage } from './recipe.ts';

/** Formats that write 16-bit weights or round them again: they load elsewhere, but are not the quantized checkpoint. */
const otherWeights: readonly ExportFormat[] = ['dequantized', 'gguf-f16', 'gguf-q8_0', 'gguf-q4_0'];

export const formatTitles: Record<ExportFormat, string> = {
  roundoff: 'Roundoff',
  dequantized: 'Dequantized',
  gptq: 'GPTQ',
  'gptq-v2': 'GPTQ v2',
  awq: 'AWQ',
  bitsandbytes: 'bitsandbytes',
  'compressed-tensors': 'compressed-tensors',
  'gguf-f16': 'GGUF F16',
  'gguf-q8_0': 'GGUF Q8_0',
  'gguf-q4_0': 'GGUF Q4_0',
};

export interface Runtime {
  name: string;
  formats: ExportFormat[];
}

/** One entry per export format; with mixed precision, for all schemes that modules may get. */
export function formatsOf(stage: QuantizeStage): Loadability[] {
  return loadabilityOf(stageFacts(stage));
}

/** Other runtimes that load the quantized checkpoint itself, each with the formats it takes. */
export function runtimesOf(stage: QuantizeStage): Runtime[] {
  return runtimesAmong(formatsOf(stage));
}

/** The same for what a chain of stages ends with; null for a float model, and for an adapter over a quantized one. */
export function runtimesAfter(stages: readonly Stage[]): Runtime[] | null {
  const facts = stages.reduce(factsAfter, null as ModelFacts | null);
  const adapts = stages.some((stage) => stage.type === 'train' && stage.trains.kind === 'lora');
  return facts && !adapts ? runtimesAmong(loadabilityOf(facts)) : null;
}

function runtimesAmong(formats: readonly Loadability[]): Runtime[] {
  const runtimes = new Map<string, ExportFormat[]>();
  for (const { format, expressible, runtimes: names } of formats) {
    if (!expressible || format === 'roundoff' || otherWeights.includes(format)) continue;
    for (const name of names) if (name !== 'Roundoff') runtimes.set(name, [...(runtimes.get(name) ?? []), format]);
  }
  return [...runtimes].map(([name, formats]) => ({ name, formats }));
}

/** `transformers, vLLM (GPTQ, AWQ)`, one entry per list of formats; '' when only Roundoff computes it. */
export function runtimesText(runtimes: readonly Runtime[]): string {
  const byFormats = new Map<string, string[]>();
  for (const { name, formats } of runtimes) {
    const key = formats.map((format) => formatTitles[format]).join(', ');
    byFormats.set(key, [...(byFormats.get(key) ?? []), name]);
  }
  return [...byFormats].map(([formats, names]) => `${names.join(', ')} (${formats})`).join('; ');
}
