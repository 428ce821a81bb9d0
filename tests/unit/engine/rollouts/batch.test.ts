import { describe, expect, it } from 'vitest';
import {
  Batch,
  type BatchShape,
  claimable,
  type FinishedSequence,
  type QueuedRequest,
} from '../../../../src-main/engine/rollouts/batch.ts';
import type { SamplingSettings } from '../../../../src-main/engine/rollouts/generator.ts';

const vocabSize = 10;
const greedy: SamplingSettings = { temperature: 0, topP: 1, topK: 0, maxNewTokens: 4, stopTokenIds: [] };

/** Runs a batch over a rule that names the token after a sequence, checking that every slot's cache stays whole. */
function runBatch(
  prompts: number[][],
  next: (tokens: number[]) => number,
  shape: Partial<BatchShape> = {},
  settings = greedy,
  isDropped = (_index: number, _step: number) => false,
) {
  const cache = new Map<number, number[]>();
  const steps: number[][] = [];
  const finished: FinishedSequence[] = [];
  let claimed = 0;
  const requests = prompts.map((promptIds, index): QueuedRequest => ({ promptIds, seed: 1, stream: `s${index}` }));
  const claim = (most: number) => {
    const first = claimed;
    claimed += claimable(requests, first, most);
    return requests.slice(first, claimed).map((request, place) => ({ index: first + place, request }));
  };
  const batch = new Batch({ slots: [4, 5], vocabSize, maxRows: 100, ...shape }, settings, [9], claim, (index) =>
    isDropped(index, steps.length),
  );
  for (let spans = batch.plan(); spans.length > 0; spans = batch.plan()) {
    const logits: number[] = [];
    for (const { from, to, positions } of batch.copies) cache.set(to, cache.get(from)!.slice(0, positions));
    for (const { slot, position, ids, wantsLogits } of spans) {
      const tokens = [...(position === 0 ? [] : cache.get(slot)!), ...Array.from(ids)];
      expect(tokens.length).toBe(position + ids.length);
      cache.set(slot, tokens);
      if (wantsLogits) logits.push(...Array.from({ length: vocabSize }, (_, token) => (token === next(tokens) ? 1 : 0)));
    }
    steps.push(spans.map(({ ids }) => ids.length));
    finished.push(...batch.accept({ values: Float32Array.from(logits) }));
  }
  return { steps, finished, generatedTokens: batch.generatedTokens };
}

describe('Batch', () => {
  const countDown = (tokens: number[]) => (tokens.at(-1)! === 0 ? 9 : tokens.at(-1)! - 1);

  it('ends sequences at the end token and at the length limit', () => {
    const { finished, generatedTokens } = runBatch([[1], [8, 7], [0]], countDown);
    expect(finished.sort((a, b) => a.index - b.index)).toEqual([
      { index: 0, tokenIds: [0, 9], finishReason: 'stop', logprobs: null },
      { index: 1, tokenIds: [6, 5, 4, 3], finishReason: 'length', logprobs: null },
      { index: 2, tokenIds: [9], finishReason: 'stop', logprobs: null },
    ]);
    expect(generatedTokens).toBe(7);
  });

  it('calls an end token at the length limit a stop', () => {
    const { finished } = runBatch([[2]], countDown);
    expect(finished[0]).toMatchObject({ tokenIds: [1, 0, 9], finishReason: 'stop' });
    const limited = runBatch([[2]], countDown, {}, { ...greedy, maxNewTokens: 3 });
    expect(limited.finished[0]).toMatchObject({ tokenIds: [1, 0, 9], finishReason: 'stop' });
  });

  it('ends at stop tokens of the settings too', () => {
    const { finished } = runBatch([[8]], countDown, {}, { ...greedy, stopTokenIds: [6] });
    expect(finished[0]).toMatchObject({ tokenIds: [7, 6], finishReason: 'stop' });
  });

  it('goes on after end tokens when asked to', () => {
    const settings = { ...greedy, ignoreEndTokens: true, maxNewTokens: 3 };
    expect(runBatch([[0]], countDown, {}, settings).finished[0]).toMatchObject({ tokenIds: [9, 8, 7], finishReason: 'length' });
    expect(runBatch([[0]], countDown, {}, { ...settings, stopTokenIds: [9] }).finished[0]).toMatchObject({
      tokenIds: [9],
      finishReason: 'stop',
    });
  });

  it('refills a slot as soon as its sequence ends', () => {
    const { steps, finished } = runBatch([[8], [0], [0], [0]], countDown);
    expect(finished).toHaveLength(4);
    // One slot generates four tokens while the other serves three one-token sequences.
    expect(steps).toEqual([[1, 1], [1, 1], [1, 1], [1]]);
  });

  it('lets long prompts in by chunks beside generating sequences', () => {
    const { steps, finished } = runBatch([[8], [1, 2, 3, 4, 5, 6, 7]], countDown, { maxRows: 4 });
    expect(steps.every((rows) => rows.reduce((sum, count) => sum + count, 0) <= 4)).toBe(true);
    expect(steps.slice(0, 3)).toEqual([
      [1, 3],
      [1, 3],
      [1, 1],
    ]);
    expect(finished.find(({ index }) => index === 1)).toMatchObject({ tokenIds: [6, 5, 4, 3] });
  });

  it('computes a prompt once for all sequences that share it, also those that come later', () => {
    const { steps, finished } = runBatch([[5, 3], [5, 3], [5, 3], [8], [8]], countDown, { slots: [0, 1] });
    expect(finished.sort((a, b) => a.index - b.index).map(({ tokenIds }) => tokenIds)).toEqual([
      [2, 1, 0, 9],
      [2, 1, 0, 9],
      [2, 1, 0, 9],
      [7, 6, 5, 4],
      [7, 6, 5, 4],
    ]);
    const prompts = steps.flat().filter((count) => count === 2);
    // Both slots end together here, so the third sequence finds no copy of its prompt and computes it again.
    expect(prompts).toHaveLength(2);
    expect(steps[0]).toEqual([2]);
  });

  it('gives a late sequence the prompt of one that is still generating, and its own random numbers', () => {
    const flat: SamplingSettings = { temperature: 1, topP: 1, topK: 0, maxNewTokens: 6, stopTokenIds: [0, 1, 2, 3], logprobs: true };
    const uniform = () => -1;
    const prompts = Array.from({ length: 12 }, () => [4, 5, 6]);
    const shared = runBatch(prompts, uniform, { slots: [0, 1, 2] }, flat);
    expect(shared.steps.flat().filter((count) => count === 3)).toHaveLength(1);
    const texts = shared.finished.sort((a, b) => a.index - b.index).map(({ tokenIds }) => tokenIds);
    // One slot computes every prompt by itself.
    const alone = runBatch(prompts, uniform, { slots: [0] }, flat);
    expect(alone.finished.sort((a, b) => a.index - b.index).map(({ tokenIds }) => tokenIds)).toEqual(texts);
    expect(new Set(texts.map(String)).size).toBeGreaterThan(6);
  });

  it('gives up what nobody wants: before it is begun, and while it runs', () => {
    const dropped = (index: number, step: number) => index === 2 || (index === 0 && step >= 2);
    const { steps, finished, generatedTokens } = runBatch([[8], [3], [0], [0]], countDown, {}, greedy, dropped);
    expect(finished.map(({ index, tokenIds }) => [index, tokenIds])).toEqual([
      [3, [9]],
      [1, [2, 1, 0, 9]],
    ]);
    // The slot of the first goes to the last at the third step.
    expect(steps).toEqual([[1, 1], [1, 1], [1, 1], [1]]);
    expect(generatedTokens).toBe(7);
  });

  it('gives up a sequence whose prompt others wait for only once they have it', () => {
    const prompt = [4, 5, 3];
    const dropped = (index: number, step: number) => index === 0 && step >= 1;
    const { finished } = runBatch([prompt, prompt, [7]], countDown, { maxRows: 2 }, greedy, dropped);
    expect(finished.sort((a, b) => a.index - b.index).map(({ index, tokenIds }) => [index, tokenIds])).toEqual([
      [1, [2, 1, 0, 9]],
      [2, [6, 5, 4, 3]],
    ]);
  });

  it('has nothing to do without requests', () => {
    expect(runBatch([], countDown)).toEqual({ steps: [], finished: [], generatedTokens: 0 });
  });
});
