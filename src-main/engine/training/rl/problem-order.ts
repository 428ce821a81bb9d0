/** Which problems a rollout is made of: every epoch is a fresh permutation, and rollout n depends on the seed and n alone. */
import { RoundoffError } from '#contract/errors.ts';
import { RandomStream } from '../../data/random-stream.ts';

export class ProblemOrder {
  private readonly count: number;
  private readonly perRollout: number;
  private readonly stream: RandomStream;
  private epoch: { index: number; permutation: number[] } | null = null;

  /** Throws `dataset-invalid` when one rollout takes more problems than there are. */
  constructor(count: number, perRollout: number, seed: number) {
    if (count < perRollout)
      throw new RoundoffError(
        'dataset-invalid',
        `A step takes ${perRollout} different problems, but the data has only ${count}.`,
        `Set promptsPerStep to at most ${count}, or give more problems.`,
      );
    this.count = count;
    this.perRollout = perRollout;
    this.stream = new RandomStream(seed, 'rl-problems');
  }

  /** Indices of the problems of rollout `rollout`, from 0; the rest of an epoch that fills no rollout is left out of it. */
  problems(rollout: number): number[] {
    const perEpoch = Math.floor(this.count / this.perRollout);
    const index = Math.floor(rollout / perEpoch);
    if (this.epoch?.index !== index) {
      const all = Array.from({ length: this.count }, (_, problem) => problem);
      this.epoch = { index, permutation: this.stream.fork(`epoch ${index}`).shuffle(all) };
    }
    const first = (rollout % perEpoch) * this.perRollout;
    return this.epoch.permutation.slice(first, first + this.perRollout);
  }
}
