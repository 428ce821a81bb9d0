/** The samples a method calibrates on, from a file or from what the model itself writes. */
import type { CalibrationSettings } from '#contract/recipe.ts';
import type { CalibrationRecord } from '#contract/worker.ts';
import { calibrationRecord, cropSamples, loadCalibration } from '../data/calibration.ts';
import type { LanguageModel } from '../model/language-model.ts';
import type { ModelTokenizer } from '../model/tokenizer.ts';
import { type Solution, sampleSolutions } from '../rollouts/solutions.ts';

export interface PreparedCalibration {
  /** Token sequences of one length. */
  samples: Int32Array[];
  record: CalibrationRecord;
  /** What the model wrote, when its own solutions are the text. */
  solutions: Solution[] | null;
}

export interface PrepareCalibrationOptions {
  tokenizer: ModelTokenizer;
  /** The unquantized model; asked for only when its own solutions are sampled. */
  model(): Promise<LanguageModel>;
  runSeed: number;
  signal?: AbortSignal;
  /** Of sampling solutions. */
  onProgress?(finished: number, total: number): void;
  /** What the reader of a log should know of sampling solutions. */
  onLog?(message: string): void;
}

/** Throws what `loadCalibration` and `sampleSolutions` throw. */
export async function prepareCalibration(
  settings: CalibrationSettings,
  { tokenizer, model, runSeed, signal, onProgress, onLog }: PrepareCalibrationOptions,
): Promise<PreparedCalibration> {
  const record = calibrationRecord(settings);
  const cancellation = signal ? { signal } : {};
  if (!settings.solutions) {
    return { samples: await loadCalibration(settings, tokenizer, { runSeed, ...cancellation }), record, solutions: null };
  }
  const reporting = { ...(onProgress ? { onProgress } : {}), ...(onLog ? { onLog } : {}) };
  const solutions = await sampleSolutions(await model(), tokenizer, settings, { runSeed, ...cancellation, ...reporting });
  const ids = solutions.flatMap((solution) => solution.ids);
  return { samples: cropSamples(ids, settings, runSeed), record, solutions };
}
