/**
 * Knowledge distillation: the divergence between the distributions of a teacher and the student over the step's response tokens, each of which
 * weighs the same. The teacher reads the very tokens the student reads and has no gradient.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { KdObjective } from '#contract/training.ts';
import type { LanguageModel } from '../../model/language-model.ts';
import { linearKl, type Teacher } from '../../ops/index.ts';
import { disposeBatch, type TrainingBatch, type TrainingExample } from '../examples.ts';
import type { MicroBatch, TrainingTask } from '../task.ts';
import type { Trainee } from '../trainee.ts';
import { type ExampleTaskOptions, packStep } from './sft.ts';
import { type TopLogits, teacherStates, topLogits } from './teacher.ts';
import type { TeacherCache } from './teacher-cache.ts';

export interface KdTaskOptions extends ExampleTaskOptions {
  objective: KdObjective;
  /** The task frees it. */
  teacher: LanguageModel;
  /** With `cacheTeacher`: what is known of the teacher, and the index of each example in it. */
  cache: { store: TeacherCache; indexOf: ReadonlyMap<TrainingExample, number> } | null;
}

type PackedBatch = ReturnType<typeof packStep>[number];

export class KdTask implements TrainingTask {
  private readonly options: KdTaskOptions;

  constructor(options: KdTaskOptions) {
    this.options = options;
  }

  async microBatches(step: number, _trainee: Trainee): Promise<MicroBatch[]> {
    const packed = packStep(this.options, step);
    const known = this.options.objective.topK === null ? null : await this.topOf(packed);
    return packed.map(({ batch, examples, share }, index) => this.microBatch(batch, share, this.said(batch, examples, known?.[index])));
  }

  async metrics(): Promise<Record<string, number>> {
    return {};
  }

  canResumeAt(): boolean {
    return true;
  }

  dispose(): void {
    this.options.teacher.dispose();
  }

  private microBatch(batch: TrainingBatch, share: number, teacher: Teacher): MicroBatch {
    const { direction, mix, temperature } = this.options.objective;
    const shares = tf.tidy(() => tf.mul(tf.div(batch.mask, tf.sum(batch.mask)), share) as tf.Tensor1D);
    return {
      inputs: batch.inputs,
      lengths: batch.lengths,
      tokens: batch.tokens,
      loss: (hidden, head, options) =>
        linearKl(hidden, head, teacher, { shares, temperature, mix: { forward: 0, reverse: 1, mixed: mix }[direction], ...options }),
      dispose: () => {
        disposeBatch(batch);
        tf.dispose([shares, ...('hidden' in teacher ? [teacher.hidden] : [teacher.indices, teacher.logits])]);
      },
    };
  }

  private said(batch: TrainingBatch, examples: readonly TrainingExample[], known: readonly TopLogits[] | undefined): Teacher {
    const { teacher, objective } = this.options;
    if (!known) return { hidden: teacherStates(teacher, batch), head: teacher.headWeight() };
    const k = objective.topK!;
    const rows = batch.mask.size;
    // Rows that do not count may hold anything valid.
    const [indices, logits] = [new Int32Array(rows * k), new Float32Array(rows * k)];
    for (const [index, top] of known.entries()) {
      const first = responseRows(examples, index, batch)[0] ?? 0;
      indices.set(top.indices, first * k);
      logits.set(top.logits, first * k);
    }
    return { indices: tf.tensor2d(indices, [rows, k], 'int32'), logits: tf.tensor2d(logits, [rows, k]) };
  }

  /** The teacher's top logits at each example's response tokens, by micro-batch and example; from disk where they are kept. */
  private async topOf(packed: readonly PackedBatch[]): Promise<TopLogits[][]> {
    const { cache } = this.options;
    const fresh: ({ index: number } & TopLogits)[] = [];
    const all: TopLogits[][] = [];
    for (const { batch, examples } of packed) {
      const indices = examples.map((example) => cache?.indexOf.get(example) ?? -1);
      if (cache && indices.every((index) => cache.store.has(index))) {
        all.push(await Promise.all(indices.map((index) => cache.store.read(index))));
        continue;
      }
      const computed = await this.computeTop(batch, examples);
      all.push(computed);
      for (const [place, index] of indices.entries()) if (cache && !cache.store.has(index)) fresh.push({ index, ...computed[place]! });
    }
    await cache?.store.add(fresh);
    return all;
  }

  private async computeTop(batch: TrainingBatch, examples: readonly TrainingExample[]): Promise<TopLogits[]> {
    const { teacher, objective } = this.options;
    const k = objective.topK!;
    const rows = examples.map((_, index) => responseRows(examples, index, batch));
    const states = teacherStates(teacher, batch);
    const { indices, logits } = await topLogits(teacher, states, rows.flat(), k);
    states.dispose();
    let first = 0;
    return rows.map(({ length }) => {
      const part = { indices: indices.slice(first * k, (first + length) * k), logits: logits.slice(first * k, (first + length) * k) };
      first += length;
      return part;
    });
  }
}

/** Rows of the batch at which example `index` has its response tokens as targets. */
function responseRows(examples: readonly TrainingExample[], index: number, { starts }: TrainingBatch): number[] {
  const { ids, lossStart } = examples[index]!;
  const first = Math.max(1, lossStart);
  return Array.from({ length: Math.max(0, ids.length - first) }, (_, token) => starts[index]! + first - 1 + token);
}
