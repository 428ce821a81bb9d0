/**
 * Which export formats can express a quantized model, and which runtimes load the files. Pure data and one function, so that the command
 * line, the wizard and a run's plan all say the same before anything is started. What depends on the values themselves (a zero point of
 * 0 in GPTQ's first format, act-order groups) the exporters find out; notes say so here.
 */
import { type ExportFormat, exportFormats, methodTitle, type QuantizationMethod, type QuantizeStage, type Stage } from './recipe.ts';
import type { QuantizationScheme } from './scheme.ts';
import { linearNames } from './training.ts';
import type { SmokeLoad } from './worker.ts';

/** What decides where a model loads. */
export interface ModelFacts {
  /** The different schemes of its linears; null stands for linears left in float. */
  schemes: readonly (QuantizationScheme | null)[];
  /** What is done to activations when the model runs, in words; null for nothing. */
  online: string | null;
  /** Groups of inputs are not consecutive (GPTQ's act-order without static groups). */
  scattered?: boolean;
  /** A LoRA adapter lies beside the weights. */
  adapter?: boolean;
}

export interface Loadability {
  format: ExportFormat;
  expressible: boolean;
  /** Why not, remedy included; null when it is expressible. */
  reason: string | null;
  /** Runtimes that load the files. */
  runtimes: string[];
  /** Conditions and versions to know about. */
  note: string | null;
}

/**
 * Formats and runtimes of a method and scheme, one entry per export format. `overrides` are the further schemes of mixed precision, null
 * for linears left in float.
 */
export function loadability(
  method: QuantizationMethod,
  scheme: QuantizationScheme,
  overrides: readonly (QuantizationScheme | null)[] = [],
): Loadability[] {
  return loadabilityOf(factsOf(method, [scheme, ...overrides]));
}

/** The same for a quantize stage with its overrides, candidates of mixed precision and act-order. */
export function stageFacts(stage: QuantizeStage): ModelFacts {
  const { scheme, overrides = [], mixed, method } = stage;
  const schemes = mixed ? mixed.candidates : [scheme, ...overrides.map((override) => override.scheme)];
  const facts = factsOf(method, schemes);
  if (stage.method !== 'gptq' || !stage.options.actOrder || stage.options.staticGroups) return facts;
  return { ...facts, scattered: schemes.some((entry) => entry?.strategy === 'group') };
}

/** Exports among the stages that cannot express what the quantize stage before them makes; one line each, remedy included. */
export function exportProblems(stages: readonly Stage[]): string[] {
  const problems: string[] = [];
  let facts: ModelFacts | null = null;
  for (const stage of stages) {
    facts = factsAfter(facts, stage);
    const reason = stage.type === 'export' && facts ? reasonAgainst(stage.format, facts) : null;
    if (reason) problems.push(reason);
  }
  return problems;
}

/** What is known of the model after a stage, from what was known before; null for a float model. */
export function factsAfter(facts: ModelFacts | null, stage: Stage): ModelFacts | null {
  if (stage.type === 'quantize') return stageFacts(stage);
  if (stage.type !== 'train') return facts;
  if (stage.trains.kind === 'lora') return { ...(facts ?? { schemes: [], online: null }), adapter: true };
  if (stage.trains.kind !== 'quantized' || !stage.trains.scheme) return facts;
  const { scheme, modules } = stage.trains;
  const schemes = modules.length < linearNames.length ? [scheme, null] : [scheme];
  return { schemes, online: facts?.online ?? onlineQuantization(schemes) };
}

/** Exports that may turn out impossible once the weights are rounded; one line each, remedy included. */
export function exportWarnings(stages: readonly Stage[]): string[] {
  const warnings: string[] = [];
  let facts: ModelFacts | null = null;
  let asymmetric = false;
  for (const stage of stages) {
    if (stage.type === 'quantize' || stage.type === 'train') {
      facts = factsAfter(facts, stage);
      asymmetric = facts?.schemes.some((scheme) => scheme !== null && !scheme.symmetric) ?? false;
    }
    if (stage.type === 'export' && stage.format === 'gptq' && asymmetric)
      warnings.push('gptq cannot hold a group whose zero point is 0, as groups of one sign have; choose "gptq-v2" to be sure');
  }
  return warnings;
}

function factsOf(method: QuantizationMethod, schemes: ModelFacts['schemes']): ModelFacts {
  const rotates = method === 'quarot' || method === 'flatquant';
  return { schemes, online: rotates ? `${methodTitle(method)} transforms activations at run time` : onlineQuantization(schemes) };
}

function onlineQuantization(schemes: readonly (QuantizationScheme | null)[]): string | null {
  if (schemes.some((scheme) => scheme?.coding === 'int8')) return 'LLM.int8() rounds activations at run time';
  if (schemes.some((scheme) => scheme?.activationBits)) return 'activations are rounded at run time';
  return schemes.some((scheme) => scheme?.kvBits) ? 'keys and values are rounded at run time' : null;
}

/** The same for a model whose facts are known. */
export function loadabilityOf(facts: ModelFacts): Loadability[] {
  return exportFormats.map((format) => {
    const reason = reasonAgainst(format, facts);
    const { runtimes, note } = reason === null ? loaders(format, facts) : { runtimes: [], note: null };
    return { format, expressible: reason === null, reason, runtimes, note };
  });
}

/** Why `format` cannot express the model, remedy included; null when it can. */
export function reasonAgainst(format: ExportFormat, { schemes, online, scattered = false, adapter = false }: ModelFacts): string | null {
  if (format === 'roundoff') return null;
  if (online) return `${online}, which ${format} cannot hold; export it as "roundoff"`;
  if (format === 'dequantized' || format.startsWith('gguf')) return null;
  if (adapter)
    return `a LoRA adapter lies beside the weights, and codes with the adapter merged in would be another model; choose "dequantized" or a gguf format, which merge it, or "roundoff", which keeps it`;
  if (format === 'awq' && scattered) return `act-order without static groups scatters groups, which awq cannot hold; choose "gptq"`;
  return reasonAgainstPacked(format, schemes);
}

const integerFormats = 'choose gptq, gptq-v2 or compressed-tensors';

function reasonAgainstPacked(format: ExportFormat, schemes: ModelFacts['schemes']): string | null {
  const quantized = schemes.filter((scheme) => scheme !== null);
  if (quantized.length === 0) return `nothing is quantized, and ${format} holds quantized weights; choose "dequantized"`;
  const nf4 = quantized.filter((scheme) => scheme.coding === 'nf4').length;
  if (nf4 > 0 && nf4 < quantized.length) return `${format} cannot hold NF4 beside integer grids; choose "dequantized"`;
  if (format === 'bitsandbytes') return nf4 > 0 ? null : `bitsandbytes holds NF4, not integer grids; ${integerFormats}`;
  if (nf4 > 0) return `${format} holds integer grids, not NF4; choose "bitsandbytes"`;
  if (format === 'compressed-tensors') return null;
  if (new Set(quantized.map(gridName)).size > 1)
    return `${format} holds one scheme for all linears, not mixed precision; choose "compressed-tensors"`;
  return format === 'awq' ? reasonAgainstAwq(quantized[0]!) : reasonAgainstGptq(format, quantized[0]!, schemes.length > quantized.length);
}

function reasonAgainstAwq({ bits, groupSize }: QuantizationScheme): string | null {
  if (bits !== 4) return `awq holds 4-bit weights, not ${bits}-bit ones; ${integerFormats}`;
  return groupSize === null ? `awq needs groups, for example W4G128; ${integerFormats}` : null;
}

function reasonAgainstGptq(format: ExportFormat, { bits }: QuantizationScheme, leavesFloat: boolean): string | null {
  if (![2, 3, 4, 8].includes(bits)) return `${format} holds 2, 3, 4 and 8 bits, not ${bits}; choose "compressed-tensors"`;
  return leavesFloat ? `${format} needs every decoder linear quantized; choose "compressed-tensors"` : null;
}

function gridName({ bits, symmetric, groupSize }: QuantizationScheme): string {
  return `${bits} ${symmetric} ${groupSize}`;
}

function loaders(format: ExportFormat, { schemes }: ModelFacts): { runtimes: string[]; note: string | null } {
  const quantized = schemes.filter((scheme) => scheme !== null);
  switch (format) {
    case 'roundoff':
      return { runtimes: ['Roundoff'], note: null };
    case 'dequantized':
      return {
        runtimes: ['transformers', 'vLLM', 'SGLang'],
        note: 'rounded weights in float32, as large as an unquantized model; runtimes that compute in 16 bits round them once more',
      };
    case 'gptq':
    case 'gptq-v2':
      return gptqLoaders(format, quantized[0]!);
    case 'awq':
      return {
        runtimes: ['transformers', 'vLLM', 'SGLang'],
        note: 'GEMM layout, computed in float16; transformers needs GPTQModel (or, before version 5, AutoAWQ)',
      };
    case 'bitsandbytes':
      return {
        runtimes: ['transformers', 'vLLM'],
        note: 'both need the bitsandbytes package; vLLM splits such a model over GPUs by pipeline, not by tensor',
      };
    case 'compressed-tensors':
      return compressedTensorsLoaders(quantized);
    default:
      return ggufLoaders(format, quantized.length > 0);
  }
}

function gptqLoaders(format: 'gptq' | 'gptq-v2', { bits, symmetric }: QuantizationScheme): { runtimes: string[]; note: string } {
  const hasMarlin = symmetric && (bits === 4 || bits === 8);
  const kernels = hasMarlin
    ? 'vLLM uses its Marlin kernel'
    : `vLLM has Marlin for symmetric 4 and 8 bits only; ${bits}-bit ${symmetric ? 'symmetric' : 'asymmetric'} weights take its generic float16 kernel: try it with your version`;
  const zeros = symmetric ? '' : '; a group whose zero point is 0 needs gptq-v2, which is checked when exporting';
  const base = `transformers needs optimum and GPTQModel; ${kernels}`;
  return format === 'gptq'
    ? { runtimes: ['transformers', 'GPTQModel', 'vLLM', 'SGLang'], note: `${base}${zeros}` }
    : { runtimes: ['transformers', 'GPTQModel', 'vLLM'], note: `${base}; vLLM before 0.11.1 misreads version 2 zero points` };
}

function compressedTensorsLoaders(quantized: readonly QuantizationScheme[]): { runtimes: string[]; note: string } {
  const inVllm = quantized.every(({ bits }) => bits === 4 || bits === 8);
  const isDense = quantized.every(({ bits }) => 32 % bits === 0);
  const notes = [
    `transformers needs the compressed-tensors package${isDense ? '' : ', version 0.18 or newer for 3, 5, 6 and 7 bits'}`,
    ...(quantized.some(({ symmetric }) => !symmetric)
      ? ['transformers 5 reads asymmetric weights with CompressedTensorsConfig(dequantize=True)', ...(inVllm ? ['vLLM from 0.8.5'] : [])]
      : []),
    ...(inVllm ? [] : ['vLLM loads 4 and 8 bits in this format; other widths are new there: try it with your version']),
  ];
  return { runtimes: inVllm ? ['transformers', 'vLLM', 'SGLang'] : ['transformers'], note: notes.join('; ') };
}

function ggufLoaders(format: ExportFormat, isQuantized: boolean): { runtimes: string[]; note: string | null } {
  const runtimes = ['llama.cpp', 'Ollama', 'LM Studio'];
  if (format === 'gguf-f16')
    return { runtimes, note: isQuantized ? 'rounded weights in 16-bit floats, as large as an unquantized model' : null };
  const type = format === 'gguf-q8_0' ? 'Q8_0' : 'Q4_0';
  return { runtimes, note: `weights are quantized again to ${type}, which changes results: evaluate the export itself` };
}

/** Where an export loads, in one line for people. `online` is the model's; see `ModelFacts`. */
export function describeLoading({ format, runtimes, note }: Loadability, online: string | null): string {
  if (online) return `Fake-quantized only: ${online}, which no other runtime computes`;
  return `${format} loads in ${runtimes.join(', ')}${note ? ` (${note})` : ''}`;
}

/** What reading an export back gave, in a few words. */
export function describeSmokeLoad({ tokens, largestDifference, allowedDifference }: SmokeLoad): string {
  const [largest, allowed] = [largestDifference, allowedDifference].map((value) => String(Number(value.toPrecision(2))));
  return `read back: logits differ by at most ${largest} over ${tokens} tokens (${allowed} allowed)`;
}
