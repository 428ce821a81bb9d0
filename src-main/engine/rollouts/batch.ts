/**
 * Continuous batching: which sequence sits in which slot, what each step computes, and when a sequence ends. It knows nothing of how a step
 * is computed, so both engines share it. Prompts enter in chunks beside the sequences that are already generating.
 */
import type { FinishReason } from '#contract/worker.ts';
import { RandomStream } from '../data/random-stream.ts';
import { Sampler } from './sampler.ts';
import type { GenerationRequest, SamplingSettings } from './settings.ts';

/** Consecutive tokens of one slot's sequence, to be computed in this step. */
export interface Span {
  slot: number;
  /** Of the first token. */
  position: number;
  ids: ArrayLike<number>;
  /** Whether the logits after the last of these tokens are wanted. */
  wantsLogits: boolean;
}

/** What a batch must know of the engine that computes it. */
export interface BatchShape {
  /** Slot numbers this batch may use. */
  slots: readonly number[];
  vocabSize: number;
  /** Most tokens in one step, at least the number of slots; with Infinity, prompts enter whole. */
  maxRows: number;
}

/** The outcome of a step. */
export interface StepLogits {
  /** [rows, vocab] */
  values: Float32Array;
  /** When the engine finds them: each row's most probable token and about how probable it is. */
  peaks?: { tokens: Int32Array; shares: Float32Array };
}

export type QueuedRequest = Pick<GenerationRequest, 'promptIds' | 'seed' | 'stream'>;

/** A finished sequence; `index` as claimed. */
export interface FinishedSequence {
  index: number;
  tokenIds: number[];
  finishReason: FinishReason;
  logprobs: number[] | null;
}

interface Sequence {
  index: number;
  slot: number;
  promptIds: readonly number[];
  random: RandomStream;
  /** Tokens already in the cache. */
  computed: number;
  tokenIds: number[];
  logprobs: number[] | null;
}

export class Batch {
  /** Tokens generated so far. */
  generatedTokens = 0;
  private readonly shape: BatchShape;
  private readonly settings: SamplingSettings;
  private readonly endTokens: Set<number>;
  private readonly claim: () => { index: number; request: QueuedRequest } | null;
  private readonly sampler: Sampler;
  private readonly freeSlots: number[];
  private sequences: Sequence[] = [];
  private inFlight: { sequence: Sequence; span: Span }[] = [];
  private exhausted = false;

  /** @param claim hands out the next request, or null when none is left */
  constructor(
    shape: BatchShape,
    settings: SamplingSettings,
    eosTokenIds: readonly number[],
    claim: () => { index: number; request: QueuedRequest } | null,
  ) {
    this.shape = shape;
    this.settings = settings;
    this.endTokens = new Set([...(settings.ignoreEndTokens ? [] : eosTokenIds), ...settings.stopTokenIds]);
    this.claim = claim;
    this.sampler = new Sampler(shape.vocabSize, settings);
    this.freeSlots = [...shape.slots].reverse();
  }

  /** The next step's tokens; empty when everything is generated. */
  plan(): Span[] {
    this.admit();
    this.inFlight = [];
    for (const sequence of this.sequences) {
      const { slot, computed: position, tokenIds } = sequence;
      if (tokenIds.length > 0) this.inFlight.push({ sequence, span: { slot, position, ids: tokenIds.slice(-1), wantsLogits: true } });
    }
    let room = this.shape.maxRows - this.inFlight.length;
    for (const sequence of this.sequences) {
      const { slot, computed: position, promptIds, tokenIds } = sequence;
      if (tokenIds.length > 0) continue;
      const missing = promptIds.length - position;
      const count = Math.min(missing, room);
      if (count === 0) break;
      room -= count;
      const span = { slot, position, ids: promptIds.slice(position, position + count), wantsLogits: count === missing };
      this.inFlight.push({ sequence, span });
    }
    return this.inFlight.map(({ span }) => span);
  }

  /** Takes the logits of the planned step, one row per span that wants them; returns the sequences that ended. */
  accept(logits: StepLogits): FinishedSequence[] {
    const finished: FinishedSequence[] = [];
    let row = 0;
    for (const { sequence, span } of this.inFlight) {
      sequence.computed += span.ids.length;
      if (!span.wantsLogits) continue;
      const finishReason = this.extend(sequence, logits, row++);
      if (!finishReason) continue;
      this.freeSlots.push(sequence.slot);
      finished.push({ index: sequence.index, tokenIds: sequence.tokenIds, finishReason, logprobs: sequence.logprobs });
    }
    if (finished.length > 0) {
      const ended = new Set(finished.map(({ index }) => index));
      this.sequences = this.sequences.filter(({ index }) => !ended.has(index));
    }
    return finished;
  }

  private admit(): void {
    while (!this.exhausted && this.freeSlots.length > 0) {
      const next = this.claim();
      if (!next) {
        this.exhausted = true;
        return;
      }
      const { promptIds, seed, stream } = next.request;
      this.sequences.push({
        index: next.index,
        slot: this.freeSlots.pop()!,
        promptIds,
        random: new RandomStream(seed, stream),
        computed: 0,
        tokenIds: [],
        logprobs: this.settings.logprobs ? [] : null,
      });
    }
  }

  private extend(sequence: Sequence, { values, peaks }: StepLogits, row: number): FinishReason | null {
    const obvious = peaks ? this.sampler.obvious(peaks.tokens[row]!, peaks.shares[row]!) : null;
    const token = obvious ?? this.sampler.sample(values, row * this.shape.vocabSize, sequence.random.uniformAt(sequence.tokenIds.length));
    sequence.tokenIds.push(token);
    sequence.logprobs?.push(this.sampler.logprob);
    this.generatedTokens++;
    if (this.endTokens.has(token)) return 'stop';
    return sequence.tokenIds.length >= this.settings.maxNewTokens ? 'length' : null;
  }
}
