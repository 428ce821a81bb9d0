import { describe, expect, it } from 'vitest';
import { type TrainStage, trainStageSchema } from '#contract/training.ts';
import { fieldLabel } from '../../../../src-renderer/format/training-info.ts';

const stage = (objective: object): TrainStage =>
  trainStageSchema.parse({
    ...{ type: 'train', objective, trains: { kind: 'weights' }, data: { path: '/data.jsonl' }, steps: 10, batchSize: 4 },
    optimizer: { learningRate: 1e-5 },
  });

describe('fieldLabel', () => {
  it('is that of the field which the stage shows', () => {
    expect(fieldLabel('objective.topK', stage({ kind: 'kd' }))).toBe('Teacher’s top tokens: ');
    expect(fieldLabel('objective.topK', stage({ kind: 'rl', promptsPerStep: 2, maxNewTokens: 8 }))).toBe('Top-k of sampling: ');
    expect(fieldLabel('optimizer.warmupSteps', undefined)).toBe('Warm-up: ');
    expect(fieldLabel('nowhere', undefined)).toBe('');
  });
});
