/** What the stages of one run share: the request, the way out for events, the signal, and the model as the stages so far have made it. */
import path from 'node:path';
import type { RunRequest } from '#contract/worker.ts';
import { readModelConfig } from '../engine/model/config.ts';
import type { LanguageModel } from '../engine/model/language-model.ts';
import { frozenStorage, loadModel } from '../engine/model/load.ts';
import { loadTokenizer, type ModelTokenizer } from '../engine/model/tokenizer.ts';
import type { EventEmitter } from './event-emitter.ts';

export class RunContext {
  readonly request: RunRequest;
  readonly events: EventEmitter;
  readonly signal: AbortSignal;
  /** Identifies the contents of the request's model. */
  readonly modelHash: string;
  /** Folder of the model as the finished stages left it. */
  private currentDir: string;
  private loaded: LanguageModel | null = null;
  private loadedTokenizer: ModelTokenizer | null = null;

  constructor(request: RunRequest, events: EventEmitter, signal: AbortSignal, modelHash: string) {
    this.request = request;
    this.events = events;
    this.signal = signal;
    this.modelHash = modelHash;
    this.currentDir = request.modelDir;
  }

  get modelDir(): string {
    return this.currentDir;
  }

  /** Where a stage keeps its checkpoint. */
  checkpointDir(stage: number): string {
    return path.join(this.request.outputDir, `stage-${stage}`);
  }

  /** For inference. */
  async model(): Promise<LanguageModel> {
    this.loaded ??= await loadModel(this.currentDir, { signal: this.signal, storage: frozenStorage() });
    return this.loaded;
  }

  async tokenizer(): Promise<ModelTokenizer> {
    if (!this.loadedTokenizer) {
      const { vocabSize } = await readModelConfig(this.request.modelDir);
      this.loadedTokenizer = await loadTokenizer(this.request.modelDir, { vocabSize });
    }
    return this.loadedTokenizer;
  }

  /** Later stages continue from this folder. What is evaluated is thus always what was saved. */
  continueFrom(dir: string): void {
    this.dispose();
    this.currentDir = dir;
  }

  dispose(): void {
    this.loaded?.dispose();
    this.loaded = null;
  }
}
