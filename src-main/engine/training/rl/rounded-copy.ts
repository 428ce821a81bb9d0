/** A round-to-nearest copy of a model, which samples where rollouts shall be quantized but the learner is not. */
import { RoundoffError } from '#contract/errors.ts';
import { quantizeStageSchema } from '#contract/recipe.ts';
import type { QuantizationScheme } from '#contract/scheme.ts';
import { copyModel } from '../../model/copy-model.ts';
import type { LanguageModel } from '../../model/language-model.ts';
import { createLayerQuantizer } from '../../quantizers/methods.ts';

/** Weights, activations, keys and values rounded as `scheme` says. Throws `unsupported` for a model that transforms or quantizes activations itself. */
export async function roundedCopy(model: LanguageModel, scheme: QuantizationScheme, signal?: AbortSignal): Promise<LanguageModel> {
  if (model.layerActivations().some((layer) => layer !== null))
    throw new RoundoffError(
      'unsupported',
      'Rollouts by a rounded copy are for models whose activations are plain.',
      'Leave out rolloutScheme: the trained model then samples as it is.',
    );
  const copy = await copyModel(model, { dense: true });
  try {
    const stage = quantizeStageSchema.parse({ type: 'quantize', method: scheme.coding ?? 'rtn', scheme, options: {} });
    const quantizer = createLayerQuantizer({
      ...{ model: copy, stage, onLinear: () => {}, onStep: () => {}, onNote: () => {} },
      ...(signal ? { signal } : {}),
    });
    for (let index = 0; index < copy.config.layers; index++) {
      const { activations } = await quantizer.layer(index, null);
      copy.setActivations(index, activations);
    }
    return copy;
  } catch (error) {
    copy.dispose();
    throw error;
  }
}
