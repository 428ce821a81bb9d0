import { beforeAll, describe, expect, it } from 'vitest';
import type { ExportFormat } from '#contract/recipe.ts';
import { exportCheckpoint } from '../../src-main/engine/formats/export.ts';
import { ExportSource } from '../../src-main/engine/formats/export-source.ts';
import { roundToHalf } from '../../src-main/engine/formats/float16.ts';
import { decoderLinears } from '../../src-main/engine/model/parameters.ts';
import { compareAnswers, record } from './compare.ts';
import { type Answers, abacus, answersOfFolder, newFolder, type Quantization } from './ours.ts';
import { type Finished, readAnswer, readFloats, runPython, withoutPython } from './setup.ts';

interface Row {
  format: ExportFormat;
  quantization: Quantization;
  /** Python modules the loader needs besides transformers. */
  needs?: string[];
  /** GPTQModel's kernel; the one it chooses when left out. */
  backend?: 'torch';
  /** Have compressed-tensors dequantize on loading. */
  dequantize?: true;
  /** The loader's own dequantized weights are ours rounded to binary16. */
  rounds?: true;
  /** Allowed difference of a logit. */
  allowed: number;
}

const gptq = (scheme: string, options: Record<string, unknown> = {}): Quantization => ({ method: 'gptq', scheme, options });
/** The same float32 weights and arithmetic: only the order of summation differs. */
const exact = 1e-3;
/** GPTQModel's kernels for the CPU compute in 16 bits. */
const half = 0.05;
/** bitsandbytes' kernel for CPUs with AVX-512 computes in bfloat16. */
const bfloat = 0.5;
const rows: Row[] = [
  { format: 'dequantized', quantization: gptq('W4G128'), allowed: exact },
  ...['W4G128', 'W4G128:sym', 'W3G128', 'W2G32:sym', 'W8G128:sym'].map((scheme): Row => {
    return { format: 'gptq', quantization: gptq(scheme), needs: ['gptqmodel'], allowed: half };
  }),
  // The kernel that GPTQModel chooses on CPUs with AVX-512 refuses one scale per row.
  { format: 'gptq', quantization: gptq('W4'), needs: ['gptqmodel'], backend: 'torch', allowed: half },
  ...[gptq('W4G128'), gptq('W3G128'), gptq('W2G32'), gptq('W4G32', { actOrder: true })].map((quantization): Row => {
    return { format: 'gptq-v2', quantization, needs: ['gptqmodel'], allowed: half };
  }),
  ...[gptq('W4G128'), { method: 'awq', scheme: 'W4G128' } as const].map((quantization): Row => {
    return { format: 'awq', quantization, needs: ['gptqmodel'], allowed: half };
  }),
  ...['NF4', 'NF4:double'].map((scheme): Row => {
    return { format: 'bitsandbytes', quantization: { method: 'nf4', scheme }, needs: ['bitsandbytes'], allowed: bfloat };
  }),
  ...['W4G128:sym', 'W3G128:sym', 'W8G128:sym'].map((scheme): Row => {
    return { format: 'compressed-tensors', quantization: gptq(scheme), needs: ['compressed_tensors'], allowed: exact };
  }),
  // Without `dequantize` transformers 5.24 expects zero points in another shape than compressed-tensors 0.20 writes them; with it, weights
  // get the type of their scales.
  ...['W4G128', 'W3G128'].map((scheme): Row => {
    return {
      format: 'compressed-tensors',
      quantization: gptq(scheme),
      needs: ['compressed_tensors'],
      dequantize: true,
      rounds: true,
      allowed: half,
    };
  }),
];

type Response = { completions: number[][]; kinds: string[]; versions: Record<string, string> } | { error: string };

interface Prepared {
  row: Row;
  ours: Answers;
  weights: Float32Array;
  request: {
    model: string;
    dtype: 'float32';
    backend: string | undefined;
    dequantize: boolean | undefined;
    prompts: number[][];
    completions: number[][];
    modules: string[];
  };
}

const missing = (row: Row) => withoutPython(['torch', 'transformers', 'accelerate', ...(row.needs ?? [])]);
const prepared: Prepared[] = [];
const unprepared = new Map<Row, unknown>();
let finished: Finished | null = null;

/** All exports are made first and loaded by one Python process. */
beforeAll(async () => {
  for (const row of rows.filter((candidate) => missing(candidate) === null))
    await prepare(row).then(
      (ready) => prepared.push(ready),
      (error: unknown) => unprepared.set(row, error),
    );
  if (prepared.length > 0) finished = runPython('load_transformers.py', { rows: prepared.map(({ request }) => request) });
}, 2_400_000);

async function prepare(row: Row): Promise<Prepared> {
  const sourceDir = await abacus(row.quantization);
  const ours = await answersOfFolder(sourceDir);
  const model = newFolder(row.format);
  await exportCheckpoint(model, { sourceDir, format: row.format });
  const { modules, weights } = await weightsOf(sourceDir);
  const { prompts, completions } = ours;
  return {
    row,
    ours,
    weights,
    request: { model, dtype: 'float32', backend: row.backend, dequantize: row.dequantize, prompts, completions, modules },
  };
}

describe('transformers', () => {
  for (const row of rows) {
    const { format, quantization, allowed } = row;
    const { method, scheme, options } = quantization;
    const model = [method, scheme, options ? Object.keys(options).join() : ''].join(' ').trim();
    const reason = missing(row);
    it.skipIf(reason)(`answers as we do: ${format} of ${model}${reason ? ` (${reason})` : ''}`, () => {
      if (unprepared.has(row)) throw unprepared.get(row);
      const index = prepared.findIndex((candidate) => candidate.row === row);
      const { ours, weights } = prepared[index]!;
      const { dir } = finished!;
      const response = readAnswer<Response>(finished!, `${index}.json`);
      if ('error' in response) {
        record(format, model, 'transformers', 'refused');
        expect.fail(response.error);
      }
      const comparison = compareAnswers(ours, { ...response, logits: readFloats(dir, `${index}.logits.f32`) });
      record(format, model, `transformers, ${response.kinds.join()}`, comparison);
      expect(comparison.unexplained).toEqual([]);
      expect(comparison.largestDifference).toBeLessThan(allowed);
      expect(differences(readFloats(dir, `${index}.weights.f32`), row.rounds ? weights.map(roundToHalf) : weights)).toBe('none');
    });
  }
});

/** The dequantized weights of all decoder linears, one after the other. */
async function weightsOf(dir: string): Promise<{ modules: string[]; weights: Float32Array }> {
  const source = await ExportSource.open(dir);
  const modules = decoderLinears(source.config);
  const parts: Float32Array[] = [];
  for (const module of modules) parts.push(await source.readFloats(`${module}.weight`));
  await source.close();
  return { modules, weights: Float32Array.from(parts.flatMap((part) => [...part])) };
}

/** How two lists of values differ, in words. */
function differences(actual: Float32Array, expected: Float32Array): string {
  if (actual.length !== expected.length) return `${actual.length} values instead of ${expected.length}`;
  const differing = [...expected.keys()].filter((index) => actual[index] !== expected[index]);
  const largest = differing.reduce((most, index) => Math.max(most, Math.abs(actual[index]! - expected[index]!)), 0);
  const [first] = differing;
  return first === undefined
    ? 'none'
    : `${differing.length} of ${expected.length}, by up to ${largest}; first ${first}: ${actual[first]} instead of ${expected[first]}`;
}
