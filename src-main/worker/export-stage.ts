/** The export stage: writes the current model in the format asked for, as a folder that stands on its own. */
import path from 'node:path';
import type { ExportStage } from '#contract/recipe.ts';
import type { ExportSummary } from '#contract/worker.ts';
import { exportCheckpoint } from '../engine/formats/export.ts';
import type { RunContext } from './run-context.ts';

export async function runExportStage(context: RunContext, index: number, stage: ExportStage): Promise<ExportSummary> {
  const { request, events, signal } = context;
  const name = `export-${index}-${stage.format}`;
  const saved = await exportCheckpoint(path.join(request.outputDir, name), {
    sourceDir: context.modelDir,
    format: stage.format,
    replace: true,
    signal,
  });
  const { sha256, sizeBytes } = saved;
  events.emit({ type: 'artifact', stage: index, artifact: { kind: 'export', path: name, sha256, sizeBytes } });
  return { type: 'export', format: stage.format, path: `${request.runId}/${name}`, sizeBytes };
}
