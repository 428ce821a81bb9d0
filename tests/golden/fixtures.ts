/** The golden fixtures made by make-model-fixtures.py: model folders with transformers' answers. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export interface GoldenModel {
  name: string;
  dir: string;
  prompts: number[][];
  /** Of the first prompt, [seq, vocab]. */
  logits: number[][];
  /** Greedy continuations of each prompt, without stop tokens. */
  greedy: number[][];
  /** Smallest distance between the best two logits met on the way; above any rounding difference. */
  smallestMargin: number;
}

export const goldenNames = [
  'qwen3-tied',
  'qwen3-untied-bf16',
  'qwen2-bias',
  'qwen2-untied-f16',
  'llama-rope-scaled',
  'llama-sharded-bias',
] as const;
export type GoldenName = (typeof goldenNames)[number];

export function fixturePath(...parts: string[]): string {
  return fileURLToPath(new URL(`./fixtures/${parts.join('/')}`, import.meta.url));
}

export function goldenModel(name: GoldenName): GoldenModel {
  const dir = fixturePath('models', name);
  return { name, dir, ...JSON.parse(readFileSync(`${dir}/expected.json`, 'utf8')) };
}
