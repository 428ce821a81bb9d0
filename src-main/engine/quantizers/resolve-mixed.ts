/** Turns a stage that asks for mixed precision within a budget into one that names a scheme for every module. */
import type { QuantizeStage } from '#contract/recipe.ts';
import { formatScheme } from '#contract/scheme.ts';
import type { LanguageModel } from '../model/language-model.ts';
import type { ModelTokenizer } from '../model/tokenizer.ts';
import { prepareCalibration } from './calibration-samples.ts';
import { analyseSensitivity } from './sensitivity/index.ts';
import { requireFittingGroups, requireReadableSamples } from './validation.ts';

export interface ResolveMixedOptions {
  /** The unquantized model; asked for only when the stage is mixed. */
  model(): Promise<LanguageModel>;
  tokenizer(): Promise<ModelTokenizer>;
  runSeed: number;
  signal?: AbortSignal;
  onProgress?(done: number, total: number, detail: string): void;
  /** What was found, for the record. */
  onNote(note: string): void;
}

/** The stage as it is, or with the proposed scheme and overrides instead of `mixed`. Throws what the scan and the calibration throw. */
export async function resolveMixed(stage: QuantizeStage, options: ResolveMixedOptions): Promise<QuantizeStage> {
  const { mixed, ...plain } = stage;
  if (!mixed) return stage;
  const { runSeed, signal, onProgress, onNote } = options;
  const model = await options.model();
  for (const scheme of mixed.candidates) requireFittingGroups(model.config, scheme);
  const cancellation = signal ? { signal } : {};
  const { samples } = await prepareCalibration(mixed.calibration, {
    tokenizer: await options.tokenizer(),
    model: async () => model,
    runSeed,
    onLog: onNote,
    ...cancellation,
  });
  requireReadableSamples(model.config, samples);
  const { proposal, measured } = await analyseSensitivity(model, samples, mixed, {
    ...cancellation,
    ...(onProgress ? { onProgress } : {}),
  });
  const others = proposal.overrides.map(({ pattern, scheme }) => `${pattern} ${scheme ? formatScheme(scheme) : 'float'}`).join(', ');
  onNote(
    `Mixed precision by sensitivity: ${formatScheme(proposal.scheme)}${others ? `, but ${others}` : ' everywhere'}; ` +
      `${proposal.bitsPerWeight.toFixed(2)} bits per weight, divergence of the rounded model ${measured.proposal.toExponential(2)} nats per token`,
  );
  return {
    ...plain,
    scheme: withActivations(proposal.scheme, stage),
    overrides: proposal.overrides.map(({ pattern, scheme }) => ({
      pattern,
      scheme: scheme && withActivations(scheme, stage),
    })),
  } as QuantizeStage;
}

/** Activations, keys and values keep the widths of the stage's own scheme. */
function withActivations<S extends QuantizeStage['scheme']>(scheme: S, { scheme: { activationBits, kvBits } }: QuantizeStage): S {
  return { ...scheme, ...(activationBits ? { activationBits } : {}), ...(kvBits ? { kvBits } : {}) };
}
