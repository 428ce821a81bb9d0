/**
 * The one source of randomness in the engine. A stream is named by a seed and a path of names and is counter-based (Philox), so draws are
 * equal on every platform and backend, streams of different names are independent, and draw n needs no draw before it.
 */
import { RoundoffError } from '#contract/errors.ts';
import { philox } from './philox.ts';

/** Marks the counter blocks that derive keys; draws leave the last counter word at zero. */
const seedMark = 0xffffffff;

export class RandomStream {
  private readonly seed: number;
  private readonly names: readonly string[];
  private readonly key0: number;
  private readonly key1: number;
  private readonly block = new Uint32Array(4);
  private blockIndex = -1;
  private next = 0;

  /** @param seed a whole number, 0 … 2^53 − 1 @param names the path of names below the seed, e.g. `'samples', 'sums/17'` */
  constructor(seed: number, ...names: string[]) {
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new RoundoffError('bad-input', `The seed ${seed} is not a whole number from 0 to 2^53 − 1.`, 'Give such a number as the seed.');
    }
    this.seed = seed;
    this.names = names;
    let key: Key = derive([seed >>> 0, Math.floor(seed / 2 ** 32), 0, seedMark], [0, 0]);
    for (const name of names) key = deriveByName(key, name);
    [this.key0, this.key1] = key;
  }

  /** How many draws have been taken. Setting it continues from there. */
  get position(): number {
    return this.next;
  }

  set position(count: number) {
    this.next = count;
  }

  /** Draw number `position`, uniform in [0, 1) with 53 bits, without touching the stream's own position. */
  uniformAt(position: number): number {
    const index = Math.floor(position / 2);
    const { block } = this;
    if (index !== this.blockIndex) {
      block[0] = index >>> 0;
      block[1] = Math.floor(index / 2 ** 32);
      block[2] = 0;
      block[3] = 0;
      philox(block, this.key0, this.key1);
      this.blockIndex = index;
    }
    const word = (position % 2) * 2;
    return ((block[word]! >>> 5) * 2 ** 26 + (block[word + 1]! >>> 6)) / 2 ** 53;
  }

  /** Uniform in [0, 1). */
  uniform(): number {
    return this.uniformAt(this.next++);
  }

  /** A uniformly drawn integer in [low, high], both ends included. Its bias is below (high − low) / 2^53. */
  integer(low: number, high: number): number {
    if (!Number.isSafeInteger(low) || !Number.isSafeInteger(high) || high < low || high - low >= 2 ** 48) {
      throw new RoundoffError(
        'internal',
        `no integers can be drawn from [${low}, ${high}]`,
        'Give whole bounds, low ≤ high, less than 2^48 apart.',
      );
    }
    return low + Math.floor(this.uniform() * (high - low + 1));
  }

  /** Standard normal by Box and Muller; takes two draws. */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** `length` values of mean 0 and the given standard deviation. */
  normals(length: number, deviation = 1): Float32Array {
    const values = new Float32Array(length);
    for (let index = 0; index < length; index++) values[index] = deviation * this.normal();
    return values;
  }

  /** The items in a uniformly drawn order, as a new array (Fisher and Yates). */
  shuffle<T>(items: readonly T[]): T[] {
    const shuffled = [...items];
    for (let last = shuffled.length - 1; last > 0; last--) {
      const other = this.integer(0, last);
      [shuffled[last], shuffled[other]] = [shuffled[other] as T, shuffled[last] as T];
    }
    return shuffled;
  }

  /** The independent stream called `name` below this one. It depends on the name, not on how much was drawn here. */
  fork(name: string): RandomStream {
    return new RandomStream(this.seed, ...this.names, name);
  }
}

type Key = [number, number];

/** Absorbs a name, eight bytes at a time, into a key. */
function deriveByName(key: Key, name: string): Key {
  const bytes = new TextEncoder().encode(name);
  const word = (at: number) =>
    ((bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24)) >>> 0;
  let derived = key;
  for (let at = 0; at === 0 || at < bytes.length; at += 8) {
    derived = derive([word(at), word(at + 4), at, bytes.length + 1], derived);
  }
  return derived;
}

function derive(counter: [number, number, number, number], [key0, key1]: Key): Key {
  const block = Uint32Array.from(counter);
  philox(block, key0, key1);
  return [block[0]!, block[1]!];
}
