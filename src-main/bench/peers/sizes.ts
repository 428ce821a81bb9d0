/** How large the cases of `bench peers` are: as the marks say, or small enough for a processor or a software adapter. */
import { RoundoffError } from '#contract/errors.ts';
import { modelShapes, type ShapeName } from '../../engine/bench/random-checkpoint.ts';
import type { PeerSizes } from './cases.ts';

type Sizes = Omit<PeerSizes, 'shape' | 'shapeName'>;

const full: Sizes = {
  gemm: 4096,
  promptTokens: 128,
  newTokens: 128,
  train: { batch: 4, length: 1024, steps: 4 },
  gptq: { samples: 128, sequenceLength: 512 },
  grpo: { prompts: 8, completions: 8, maxNewTokens: 128, steps: 3 },
  repeats: 3,
};

const quick: Sizes = {
  gemm: 512,
  promptTokens: 8,
  newTokens: 8,
  train: { batch: 2, length: 64, steps: 3 },
  gptq: { samples: 4, sequenceLength: 64 },
  grpo: { prompts: 2, completions: 2, maxNewTokens: 8, steps: 3 },
  repeats: 1,
};

export function peerSizes(options: { quick: boolean; shape?: string | undefined }): PeerSizes {
  const name = options.shape ?? (options.quick ? 'quick' : 'qwen3-0.6b');
  if (!Object.hasOwn(modelShapes, name)) {
    throw new RoundoffError('bad-input', `There is no model shape "${name}".`, `Choose one of: ${Object.keys(modelShapes).join(', ')}.`);
  }
  const shape = modelShapes[name as ShapeName];
  const shapeName = name === 'qwen3-0.6b' ? 'Qwen3-0.6B shape' : `${name} shape (width ${shape.hiddenSize}, ${shape.layers} layers)`;
  return { ...(options.quick ? quick : full), shape, shapeName };
}
