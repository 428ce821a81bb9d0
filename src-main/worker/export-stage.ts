/**
 * The export stage: writes the current model in the format asked for, as a folder that stands on its own, reads it back, and says which
 * runtimes load it.
 */
import path from 'node:path';
import { describeLoading, describeSmokeLoad } from '#contract/loadability.ts';
import type { ExportStage } from '#contract/recipe.ts';
import type { ExportSummary } from '#contract/worker.ts';
import { exportCheckpoint } from '../engine/formats/export.ts';
import type { RunContext } from './run-context.ts';

export async function runExportStage(context: RunContext, index: number, stage: ExportStage): Promise<ExportSummary> {
  const { request, events, signal } = context;
  const name = `export-${index}-${stage.format}`;
  const exported = await exportCheckpoint(path.join(request.outputDir, name), {
    sourceDir: context.modelDir,
    format: stage.format,
    replace: true,
    signal,
    modelName: path.basename(request.modelDir),
    onLog: (message) => events.log('info', message),
  });
  events.log('info', `${describeLoading(exported.loadability, exported.roundoffOnly)}; ${describeSmokeLoad(exported.smokeLoad)}`);
  const { sha256, sizeBytes, smokeLoad } = exported;
  events.emit({ type: 'artifact', stage: index, artifact: { kind: 'export', path: name, sha256, sizeBytes } });
  const loadsIn = exported.roundoffOnly ? [] : exported.loadability.runtimes;
  return { type: 'export', format: stage.format, path: `${request.runId}/${name}`, sizeBytes, loadsIn, smokeLoad };
}
