/** The quantize stage: quantizes the model, saves the packed checkpoint and a report of every layer, and goes on from the checkpoint. */
import path from 'node:path';
import { calibrationOf, type QuantizeStage } from '#contract/recipe.ts';
import { formatScheme } from '#contract/scheme.ts';
import type { QuantizeSummary } from '#contract/worker.ts';
import { writeWholeFile } from '../engine/formats/atomic-file.ts';
import { saveQuantizedCheckpoint } from '../engine/formats/quantized-checkpoint.ts';
import { quantizeModel } from '../engine/quantizers/quantize-model.ts';
import { ProgressMeter } from './progress-meter.ts';
import type { RunContext } from './run-context.ts';

export async function runQuantizeStage(context: RunContext, index: number, stage: QuantizeStage): Promise<QuantizeSummary> {
  const { events, request, signal } = context;
  const model = await context.model();
  let meter: ProgressMeter | null = null;
  const result = await quantizeModel(model, stage, {
    tokenizer: calibrationOf(stage) ? await context.tokenizer() : undefined,
    seed: request.seed,
    signal,
    onLog: (message) => events.log('info', message),
    onProgress: ({ done, total, detail }) => {
      meter ??= new ProgressMeter(total);
      events.emit({ type: 'progress', stage: index, unit: 'linears', detail, ...meter.read(done) });
    },
  });
  for (const [step, layer] of result.layers.entries()) {
    events.emit({ type: 'metric', stage: index, name: 'weight-error', step, value: layer.weightError });
    if (layer.outputError !== null) events.emit({ type: 'metric', stage: index, name: 'output-error', step, value: layer.outputError });
  }
  const scheme = formatScheme(stage.scheme);
  const dir = context.checkpointDir(index);
  const saved = await saveQuantizedCheckpoint(dir, {
    sourceDir: context.modelDir,
    quantized: result.packed,
    parameters: result.parameters,
    activations: result.activations,
    trained: result.trained,
    untied: result.untied,
    metadata: { method: stage.method, scheme, options: JSON.stringify(stage.options) },
    replace: true,
    signal,
  });
  const summary: QuantizeSummary = {
    type: 'quantize',
    method: stage.method,
    scheme,
    quantizedBytes: result.quantizedBytes,
    totalBytes: saved.weightBytes,
    bitsPerWeight: result.bitsPerWeight,
    layers: result.layers,
    notes: result.notes,
  };
  const report = await writeWholeFile(path.join(request.outputDir, `stage-${index}-report.json`), `${JSON.stringify(summary, null, 2)}\n`);
  const { sha256, sizeBytes } = saved;
  events.emit({ type: 'artifact', stage: index, artifact: { kind: 'checkpoint', path: path.basename(dir), sha256, sizeBytes } });
  events.emit({
    type: 'artifact',
    stage: index,
    artifact: { kind: 'quantization-report', path: path.basename(report.path), sha256: report.sha256, sizeBytes: report.sizeBytes },
  });
  context.continueFrom(dir);
  return summary;
}
