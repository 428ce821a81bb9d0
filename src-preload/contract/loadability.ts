/**
 * Which export formats can express a quantized model, and which runtimes load the files. Pure data and one function, so that the command
 * line, the wizard and a run's plan all say the same before anything is started. What depends on the values themselves (a zero point of
 * 0 in GPTQ's first format, act-order groups) the exporters find out; notes say so here.
 */
import { type ExportFormat, exportFormats, methodTitle, type QuantizationMethod } from './recipe.ts';
import type { QuantizationScheme } from './scheme.ts';

/** What decides where a model loads. */
export interface ModelFacts {
  /** The different schemes of its linears; null stands for linears left in float. */
  schemes: readonly (QuantizationScheme | null)[];
  /** What is done to activations when the model runs, in words; null for nothing. */
  online: string | null;
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

/** Formats and runtimes of a quantize stage, one entry per export format. `overrides` are the schemes of mixed precision. */
export function loadability(
  method: QuantizationMethod,
  scheme: QuantizationScheme,
  overrides: readonly (QuantizationScheme | null)[] = [],
): Loadability[] {
  return loadabilityOf(stageFacts(method, scheme, overrides));
}

export function stageFacts(
  method: QuantizationMethod,
  scheme: QuantizationScheme,
  overrides: readonly (QuantizationScheme | null)[] = [],
): ModelFacts {
  const schemes = [scheme, ...overrides];
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

/** Why only Roundoff computes this model, in words; null when some export takes it to other runtimes. */
export function fakeQuantizedOnly(facts: ModelFacts): string | null {
  return facts.online;
}

/** Why `format` cannot express the model, remedy included; null when it can. */
export function reasonAgainst(format: ExportFormat, { schemes, online }: ModelFacts): string | null {
  if (format === 'roundoff') return null;
  if (online) return `${online}, which ${format} cannot hold; export it as "roundoff"`;
  return format === 'dequantized' || format.startsWith('gguf') ? null : reasonAgainstPacked(format, schemes);
}

const integerFormats = 'choose gptq, gptq-v2 or compressed-tensors';

function reasonAgainstPacked(format: ExportFormat, schemes: ModelFacts['schemes']): string | null {
  const quantized = schemes.filter((scheme) => scheme !== null);
  if (quantized.length === 0) return `nothing is quantized, and ${format} holds quantized weights; choose "dequantized"`;
  const isNf4 = (scheme: QuantizationScheme) => scheme.coding === 'nf4';
  if (format === 'bitsandbytes') return quantized.every(isNf4) ? null : `bitsandbytes holds NF4, not integer grids; ${integerFormats}`;
  if (quantized.some(isNf4)) return `${format} holds integer grids, not NF4; choose "bitsandbytes"`;
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
        note: 'both need the bitsandbytes package; vLLM does not split NF4 layers across GPUs in every version',
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
    : { runtimes: ['transformers', 'GPTQModel', 'vLLM'], note: `${base}; version 2 zero points need vLLM 0.11 or newer` };
}

function compressedTensorsLoaders(quantized: readonly QuantizationScheme[]): { runtimes: string[]; note: string } {
  const inVllm = quantized.every(({ bits }) => bits === 4 || bits === 8);
  const asymmetric = inVllm && quantized.some(({ symmetric }) => !symmetric);
  return {
    runtimes: inVllm ? ['transformers', 'vLLM', 'SGLang'] : ['transformers'],
    note: `transformers needs the compressed-tensors package${
      inVllm
        ? asymmetric
          ? '; asymmetric weights need a recent vLLM (0.8 or newer)'
          : ''
        : '; vLLM loads 4 and 8 bits only in this format'
    }`,
  };
}

function ggufLoaders(format: ExportFormat, isQuantized: boolean): { runtimes: string[]; note: string | null } {
  const runtimes = ['llama.cpp', 'Ollama', 'LM Studio'];
  if (format === 'gguf-f16')
    return { runtimes, note: isQuantized ? 'rounded weights in 16-bit floats, as large as an unquantized model' : null };
  const type = format === 'gguf-q8_0' ? 'Q8_0' : 'Q4_0';
  return { runtimes, note: `weights are quantized again to ${type}, which changes results: evaluate the export itself` };
}
