/**
 * FlatQuant of one decoder layer (Sun et al., arXiv 2410.09426): learn transforms and clip factors, fold what can be folded into norms,
 * weights and biases, round the weights (to nearest, or by GPTQ), and leave the rest to be computed online.
 * One token quantizer serves all linears that read one input, where FlatQuant's code has one for each of q, k, v and of gate and up.
 */
import { gptqOptionsSchema } from '#contract/recipe.ts';
import type { LanguageModel } from '../../model/language-model.ts';
import type { Calibrator } from '../calibrator.ts';
import { quantizeLayerGptq } from '../gptq-layer.ts';
import type { LayerQuantizer, LayerResult, MethodContext, QuantizedLinear } from '../layer-quantizer.ts';
import { type CalibrationCurve, calibrateLayer } from './calibrate.ts';
import { initialDiagonals } from './diagonals.ts';
import { observeErrors } from './errors.ts';
import { type FoldedLayer, foldLayer, roundToNearest } from './fold.ts';
import { clipShapes, type LayerPlan, planLayer, transformShapes } from './layer-plan.ts';
import { QuantizedLayer } from './quantized-layer.ts';
import { Trainables } from './trainables.ts';

export function flatquantQuantizer(context: MethodContext<'flatquant'>): LayerQuantizer {
  const { model, stage } = context;
  const plans = Array.from({ length: model.config.layers }, (_, index) => planLayer(model.config, stage, index));
  if (stage.activationClip !== undefined || stage.kvClip !== undefined) {
    context.onNote('The clip ratios of activations and of keys and values are not used: FlatQuant learns its own.');
  }
  return { advance: 'original', layer: (index, calibrator) => quantizeLayer(plans[index]!, calibrator!, context) };
}

async function quantizeLayer(plan: LayerPlan, calibrator: Calibrator, context: MethodContext<'flatquant'>): Promise<LayerResult> {
  const { model, stage } = context;
  const { options } = stage;
  if (isLeftAlone(plan, model)) return { linears: [], parameters: new Map(), activations: plan.quantizers, trained: new Map() };
  const diagonals = await initialDiagonals(model, plan, calibrator, options.alpha);
  const layer = new QuantizedLayer(model, plan);
  const trainables = new Trainables(plan, model.config, options, diagonals);
  try {
    const onEpoch = (epoch: number) =>
      context.onStep(`layer ${plan.index + 1}, epoch ${epoch + 1} of ${options.epochs}`, epoch / options.epochs);
    const curve = await calibrateLayer(layer, trainables, calibrator, { options, prefix: plan.prefix, onEpoch });
    context.onNote(describe(plan, curve));
    const folded = await foldLayer(model, plan, layer, trainables);
    return {
      linears: await roundWeights(plan, folded, calibrator, context),
      parameters: folded.parameters,
      activations: folded.activations,
      trained: new Map([...(await trainables.values())].map(([name, value]) => [`${plan.prefix}.flatquant.${name}`, value])),
    };
  } finally {
    layer.dispose();
    trainables.dispose();
  }
}

/** A layer of which nothing is quantized has nothing to learn. */
function isLeftAlone(plan: LayerPlan, { config }: LanguageModel): boolean {
  return transformShapes(plan).length === 0 && clipShapes(plan, config).length === 0;
}

async function roundWeights(
  plan: LayerPlan,
  folded: FoldedLayer,
  calibrator: Calibrator,
  context: MethodContext<'flatquant'>,
): Promise<QuantizedLinear[]> {
  const { stage } = context;
  const errors = await observeErrors(plan, folded, calibrator);
  try {
    const linears =
      stage.options.weights === 'gptq'
        ? await quantizeLayerGptq(plan.index, calibrator, { ...context, map: stage, options: gptqOptions, symmetricGrid: 'signed' })
        : await roundToNearest(plan, folded, context);
    const measured: QuantizedLinear[] = [];
    // Latents would be those of the transformed weights, of which nothing says so.
    for (const linear of linears) measured.push({ ...linear, error: await errors.errorOf(linear), latents: null });
    return measured;
  } finally {
    errors.dispose();
  }
}

/** The range is clipped as learnt already, so GPTQ does not search one. */
const gptqOptions = gptqOptionsSchema.parse({ mseSearch: false });

function describe({ index }: LayerPlan, { start, end, epochs }: CalibrationCurve): string {
  const digits = (value: number) => value.toPrecision(3);
  const course = `${digits(start)} before calibration, ${digits(end)} after (by epoch ${epochs.map(digits).join(', ')})`;
  return `Layer ${index + 1}: mean squared error ${course}${end > start ? '; calibration made it worse' : ''}`;
}
