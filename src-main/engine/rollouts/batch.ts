/**
 * Continuous batching: which sequence sits in which slot, what each step computes, and when a sequence ends. It knows nothing of how a step
 * is computed, so the processor’s engine and tensor operations share it. Prompts enter in chunks beside the sequences that are already generating; a prompt that another sequence
 * of the batch has computed, or is computing, is copied from it.
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

/** Cached keys and values of the first `positions` positions that a slot takes over from another one before the step is computed. */
export interface CacheCopy {
  from: number;
  to: number;
  positions: number;
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

export interface ClaimedRequest {
  index: number;
  request: QueuedRequest;
}

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
  /** The sequence whose prompt is copied; null once it is, or where the prompt is computed. */
  source: Sequence | null;
  /** After the prompt, [vocab], for later sequences of the same prompt. */
  promptLogits: Float32Array | null;
}

export class Batch {
  /** Tokens generated so far. */
  generatedTokens = 0;
  private readonly shape: BatchShape;
  private readonly settings: SamplingSettings;
  private readonly endTokens: Set<number>;
  private readonly claim: (most: number) => ClaimedRequest[];
  private readonly isDropped: (index: number) => boolean;
  private readonly sampler: Sampler;
  private readonly freeSlots: number[];
  private sequences: Sequence[] = [];
  private inFlight: { sequence: Sequence; span: Span }[] = [];
  private copied: Sequence[] = [];
  private planned: CacheCopy[] = [];
  private exhausted = false;

  /**
   * @param claim hands out up to `most` requests, one at least until none is left
   * @param isDropped whether nobody wants the sequence of a claimed request any more
   */
  constructor(
    shape: BatchShape,
    settings: SamplingSettings,
    eosTokenIds: readonly number[],
    claim: (most: number) => ClaimedRequest[],
    isDropped: (index: number) => boolean = () => false,
  ) {
    this.shape = shape;
    this.settings = settings;
    this.endTokens = new Set([...(settings.ignoreEndTokens ? [] : eosTokenIds), ...settings.stopTokenIds]);
    this.claim = claim;
    this.isDropped = isDropped;
    this.sampler = new Sampler(shape.vocabSize, settings);
    this.freeSlots = [...shape.slots].reverse();
  }

  /** To be carried out in this order before the planned step is computed. */
  get copies(): readonly CacheCopy[] {
    return this.planned;
  }

  /** The next step's tokens; empty when everything is generated. */
  plan(): Span[] {
    this.planned = [];
    // Before slots are given away anew: what is copied may lie in the slot of a sequence that has just ended.
    for (const sequence of this.copied) this.planned.push(copyOf(sequence));
    this.copied = [];
    for (const sequence of this.sequences) sequence.source = sequence.tokenIds.length > 0 ? null : sequence.source;
    this.giveUpDropped();
    this.admit();
    this.inFlight = [];
    for (const sequence of this.sequences) {
      const { slot, computed: position, tokenIds } = sequence;
      if (tokenIds.length > 0) this.inFlight.push({ sequence, span: { slot, position, ids: tokenIds.slice(-1), wantsLogits: true } });
      else if (sequence.source?.promptLogits) this.planned.push(copyOf(sequence));
    }
    let room = this.shape.maxRows - this.inFlight.length;
    for (const sequence of this.sequences) {
      const { slot, computed: position, promptIds, tokenIds } = sequence;
      if (tokenIds.length > 0 || sequence.source) continue;
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
    const ended: FinishedSequence[] = [];
    const late = this.sequences.filter(({ source }) => source?.promptLogits);
    let row = 0;
    for (const { sequence, span } of this.inFlight) {
      sequence.computed += span.ids.length;
      if (!span.wantsLogits) continue;
      if (sequence.tokenIds.length === 0) this.promptComputed(sequence, logits, row, ended);
      this.extend(sequence, logits, row++, ended);
    }
    for (const sequence of late) {
      const values = sequence.source!.promptLogits!;
      Object.assign(sequence, { computed: sequence.promptIds.length, promptLogits: values });
      this.extend(sequence, { values }, 0, ended);
    }
    if (ended.length > 0) {
      const indices = new Set(ended.map(({ index }) => index));
      this.sequences = this.sequences.filter(({ index }) => !indices.has(index));
    }
    return ended;
  }

  /** Sequences that waited for this prompt go on from its logits; their keys and values follow before the next step. */
  private promptComputed(sequence: Sequence, logits: StepLogits, row: number, ended: FinishedSequence[]): void {
    const { vocabSize } = this.shape;
    if (!this.exhausted) sequence.promptLogits = logits.values.slice(row * vocabSize, (row + 1) * vocabSize);
    for (const waiting of this.sequences) {
      if (waiting.source !== sequence) continue;
      waiting.computed = sequence.computed;
      waiting.promptLogits = sequence.promptLogits;
      this.copied.push(waiting);
      this.extend(waiting, logits, row, ended);
    }
  }

  private admit(): void {
    while (!this.exhausted && this.freeSlots.length > 0) {
      const claimed = this.claim(this.freeSlots.length);
      this.exhausted = claimed.length === 0;
      for (const { index, request } of claimed) if (!this.isDropped(index)) this.sequences.push(this.open(index, request));
    }
  }

  /** Frees the slots of dropped sequences; one whose prompt others wait for stays until they have it. */
  private giveUpDropped(): void {
    const awaited = new Set(this.sequences.map(({ source }) => source));
    this.sequences = this.sequences.filter((sequence) => {
      if (awaited.has(sequence) || !this.isDropped(sequence.index)) return true;
      this.freeSlots.push(sequence.slot);
      return false;
    });
  }

  private open(index: number, { promptIds, seed, stream }: QueuedRequest): Sequence {
    return {
      index,
      slot: this.freeSlots.pop()!,
      promptIds,
      random: new RandomStream(seed, stream),
      computed: 0,
      tokenIds: [],
      logprobs: this.settings.logprobs ? [] : null,
      source: this.sequences.find((other) => other.source === null && samePrompt(other.promptIds, promptIds)) ?? null,
      promptLogits: null,
    };
  }

  /** Draws a sequence's next token from a row of logits; where that ends it, its slot is free again. */
  private extend(sequence: Sequence, { values, peaks }: StepLogits, row: number, ended: FinishedSequence[]): void {
    const { index, slot, tokenIds, logprobs } = sequence;
    const obvious = peaks ? this.sampler.obvious(peaks.tokens[row]!, peaks.shares[row]!) : null;
    const token = obvious ?? this.sampler.sample(values, row * this.shape.vocabSize, sequence.random.uniformAt(tokenIds.length));
    tokenIds.push(token);
    logprobs?.push(this.sampler.logprob);
    this.generatedTokens++;
    const finishReason = this.endTokens.has(token) ? 'stop' : tokenIds.length >= this.settings.maxNewTokens ? 'length' : null;
    if (!finishReason) return;
    this.freeSlots.push(slot);
    ended.push({ index, tokenIds, finishReason, logprobs });
  }
}

/** Requests from `first` on that a batch with `most` free slots should take together: those that share their prompt. */
export function claimable(requests: readonly QueuedRequest[], first: number, most: number): number {
  let count = Math.min(1, requests.length - first);
  while (count < most && first + count < requests.length && samePrompt(requests[first]!.promptIds, requests[first + count]!.promptIds))
    count++;
  return count;
}

function samePrompt(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((id, place) => id === b[place]);
}

function copyOf({ source, slot, promptIds }: Sequence): CacheCopy {
  return { from: source!.slot, to: slot, positions: promptIds.length };
}
