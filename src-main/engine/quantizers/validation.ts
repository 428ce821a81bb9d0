/**
 * What must hold before quantization starts. Every offending module is listed at once, so that nobody learns of the second after
 * waiting for the first.
 */
import { RoundoffError } from '#contract/errors.ts';
import { codingProblem, type QuantizeStage } from '#contract/recipe.ts';
import { formatScheme, type QuantizationScheme } from '#contract/scheme.ts';
import type { ModelConfig } from '../model/config.ts';
import { decoderLinears, linearShape } from '../model/parameters.ts';
import { matches, schemeOf } from './scheme-map.ts';

/** One line per decoder linear whose inputs the group size does not divide; empty when the scheme fits. */
export function groupSizeProblems(
  config: ModelConfig,
  scheme: QuantizationScheme,
  concerns: (module: string) => boolean = () => true,
): string[] {
  const { groupSize } = scheme;
  if (groupSize === null || scheme.coding) return [];
  return decoderLinears(config)
    .filter(concerns)
    .map((module) => ({ module, inFeatures: linearShape(config, module)[1]! }))
    .filter(({ inFeatures }) => inFeatures % groupSize !== 0)
    .map(({ module, inFeatures }) => `${module}: ${inFeatures} inputs are not a multiple of ${groupSize}`);
}

/** Throws `bad-input` when a scheme of the stage does not fit its method or its modules, or an override matches none. */
export function requireFittingStage(config: ModelConfig, stage: QuantizeStage): void {
  for (const scheme of [stage.scheme, ...(stage.overrides ?? []).map((override) => override.scheme)]) {
    const problem = scheme && codingProblem(stage.method, scheme);
    if (problem) throw new RoundoffError('bad-input', `${problem}.`, 'Choose a scheme that belongs to the method, or another method.');
  }
  requireFittingGroups(config, stage.scheme, (module) => schemeOf(stage, module) === stage.scheme);
  for (const { pattern, scheme } of stage.overrides ?? []) {
    if (!decoderLinears(config).some((module) => matches(pattern, module))) {
      throw new RoundoffError(
        'bad-input',
        `The override "${pattern}" matches no decoder linear of this model.`,
        'Write a name such as layers.0.mlp.down_proj, with * for any text.',
      );
    }
    if (scheme) requireFittingGroups(config, scheme, (module) => schemeOf(stage, module) === scheme);
  }
}

/** Throws `bad-input` that lists every module the scheme does not fit and names the group sizes that do. */
export function requireFittingGroups(
  config: ModelConfig,
  scheme: QuantizationScheme,
  concerns: (module: string) => boolean = () => true,
): void {
  const problems = groupSizeProblems(config, scheme, concerns);
  if (problems.length === 0) return;
  const widths = decoderLinears(config)
    .filter(concerns)
    .map((module) => linearShape(config, module)[1]!);
  const fitting = [256, 128, 64, 32, 16, 8].filter((size) => widths.every((width) => width % size === 0));
  const alternative = fitting.length > 0 ? `a group size of ${fitting.join(', ')}` : 'another group size';
  throw new RoundoffError(
    'bad-input',
    `${formatScheme(scheme)} does not fit ${problems.length} of the model's ${widths.length} linears. ${problems[0]}.`,
    `Choose ${alternative}, or one scale per channel (W${scheme.bits}).`,
    { problems },
  );
}

/** Throws unless the samples are sequences of one length that the model can read. */
export function requireReadableSamples(config: ModelConfig, samples: readonly Int32Array[]): void {
  const length = samples[0]?.length ?? 0;
  if (length === 0) {
    throw new RoundoffError('calibration-too-short', 'There are no calibration tokens.', 'Give at least one sample of at least one token.');
  }
  if (length > config.contextLength) {
    throw new RoundoffError(
      'bad-input',
      `Calibration samples of ${length} tokens exceed the model's context of ${config.contextLength}.`,
      `Set the calibration's sequence length to at most ${config.contextLength}.`,
    );
  }
  for (const [index, sample] of samples.entries()) {
    if (sample.length !== length) {
      throw new RoundoffError(
        'bad-input',
        `Calibration sample ${index} has ${sample.length} tokens, sample 0 has ${length}.`,
        'Cut or join the text into samples of one length.',
      );
    }
    const outside = sample.find((id) => id < 0 || id >= config.vocabSize);
    if (outside === undefined) continue;
    throw new RoundoffError(
      'tokenizer-invalid',
      `Calibration sample ${index} holds token ${outside}, but the model knows ${config.vocabSize}.`,
      'Use the tokenizer that belongs to this model.',
    );
  }
}
