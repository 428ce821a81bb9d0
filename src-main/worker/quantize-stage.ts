/** The quantize stage: quantizes the model, saves the packed checkpoint and a report of every layer, and goes on from the checkpoint. */
import path from 'node:path';
import { type QuantizeStage, stageScheme } from '#contract/recipe.ts';
import type { QuantizeSummary } from '#contract/worker.ts';
import { writeWholeFile } from '../engine/formats/atomic-file.ts';
import { quantizeCheckpoint } from '../engine/quantizers/streaming/quantize-checkpoint.ts';
import { ProgressMeter } from './progress-meter.ts';
import type { RunContext } from './run-context.ts';

export async function runQuantizeStage(context: RunContext, index: number, stage: QuantizeStage): Promise<QuantizeSummary> {
  const { events, request, signal } = context;
  const meters = new Map<string, ProgressMeter>();
  const dir = context.checkpointDir(index);
  const scheme = stageScheme(stage);
  const result = await quantizeCheckpoint({
    sourceDir: context.modelDir,
    outDir: dir,
    stage,
    seed: request.seed,
    modelHash: context.modelHash,
    tokenizer: () => context.tokenizer(),
    metadata: { method: stage.method, scheme, options: JSON.stringify(stage.options) },
    replace: true,
    signal,
    onLog: (message) => events.log('info', message),
    onProgress: ({ unit, done, total, detail }) => {
      const meter = meters.get(unit) ?? new ProgressMeter(total, done);
      meters.set(unit, meter);
      events.emit({ type: 'progress', stage: index, unit, detail, ...meter.read(done) });
    },
  });
  for (const [step, layer] of result.layers.entries()) {
    events.emit({ type: 'metric', stage: index, name: 'weight-error', step, value: layer.weightError });
    if (layer.outputError !== null) events.emit({ type: 'metric', stage: index, name: 'output-error', step, value: layer.outputError });
  }
  const { saved, calibration } = result;
  const summary: QuantizeSummary = {
    type: 'quantize',
    method: stage.method,
    scheme,
    quantizedBytes: result.quantizedBytes,
    totalBytes: saved.weightBytes,
    bitsPerWeight: result.bitsPerWeight,
    layers: result.layers,
    notes: result.notes,
    ...(calibration ? { calibration } : {}),
    peakMemoryBytes: result.peakMemoryBytes,
    ...(result.peakGpuMemoryBytes === undefined ? {} : { peakGpuMemoryBytes: result.peakGpuMemoryBytes }),
    ...(result.estimatedGpuMemoryBytes === undefined ? {} : { estimatedGpuMemoryBytes: result.estimatedGpuMemoryBytes }),
    estimatedMemoryBytes: result.estimatedMemoryBytes,
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
