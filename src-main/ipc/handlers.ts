/** One handler per command of the contract; the mapped type makes a missing one an error of the compiler. Inputs arrive validated. */
import os from 'node:os';
import path from 'node:path';
import type { CommandName, CommandOutput, ParsedInput } from '#contract/commands.ts';
import { RoundoffError } from '#contract/errors.ts';
import { inspectBenchmark } from '../engine/benchmarks/inspect.ts';
import { writeWholeFile } from '../engine/formats/atomic-file.ts';
import { inspectModel } from '../engine/model/inspect.ts';
import { listModels } from '../project/repositories/models.ts';
import { listRuns } from '../project/repositories/runs.ts';
import { querySamples } from '../project/repositories/sample-query.ts';
import { compareSamples } from '../project/repositories/samples.ts';
import { listStudies } from '../project/repositories/studies.ts';
import { studyResolution } from '../reports/index.ts';
import { inspectDataset } from '../runs/inspect-dataset.ts';
import { resolvePath } from '../runs/resources.ts';
import type { RuntimeService } from '../runtime/index.ts';
import { doctor } from './doctor.ts';
import { listFiles } from './files.ts';
import { listPresets } from './presets.ts';
import type { ProjectSession } from './project-session.ts';
import { sampleCatalog } from './sample-catalog.ts';
import { renderStudyReport } from './study-report.ts';

/** Bad rows of a benchmark that the workbench lists. */
const listedFindings = 1000;

export type Handlers = {
  [K in CommandName]: (input: ParsedInput<K>) => CommandOutput<K> | Promise<CommandOutput<K>>;
};

export function createHandlers(session: ProjectSession, runtimes: RuntimeService): Handlers {
  return { ...appHandlers(session), ...runtimeHandlers(runtimes), ...projectHandlers(session), ...studyHandlers(session) };
}

type Section<P extends string> = { [K in CommandName as K extends `${P}.${string}` ? K : never]: Handlers[K] };

function appHandlers(session: ProjectSession): Section<'app' | 'files' | 'models' | 'datasets' | 'sample' | 'presets'> {
  const { resourcesDir, version, host, nodeFile, workerEntry } = session.options;
  return {
    'app.info': () => ({
      version,
      host,
      node: process.version,
      platform: `${process.platform}-${process.arch}`,
      homeDir: os.homedir(),
      defaultProjectDir: path.join(os.homedir(), 'Roundoff'),
    }),
    'app.doctor': () => doctor({ version, nodeFile, workerEntry, dir: session.current?.info.artifactsDir ?? os.homedir() }),
    'files.list': ({ path: dir }) => listFiles(dir ?? os.homedir()),
    'models.inspect': ({ path: dir }) => inspectModel(resolvePath(dir, resourcesDir)),
    'models.list': () => listModels(session.runs.project.db),
    'datasets.inspect': ({ path: file, kind, as, ...details }) => {
      const resolved = resolvePath(file, resourcesDir);
      if (kind !== 'benchmark') return inspectDataset(resolved, kind);
      return inspectBenchmark({ path: resolved, ...details, ...(as ? { kind: as } : {}) }, { maxFindings: listedFindings });
    },
    'sample.catalog': () => sampleCatalog(resourcesDir),
    'presets.list': () => listPresets(resourcesDir),
  };
}

function runtimeHandlers(runtimes: RuntimeService): Section<'runtime'> {
  return {
    'runtime.status': () => runtimes.status(),
    'runtime.install': ({ cuda, wheel }) => runtimes.install({ cuda, ...(wheel === null ? {} : { wheel }) }),
    'runtime.cancel': () => {
      runtimes.cancel();
      return null;
    },
    'runtime.remove': () => runtimes.remove(),
  };
}

function projectHandlers(session: ProjectSession): Section<'project'> {
  return {
    'project.create': ({ path: file }) => session.create(file),
    'project.open': ({ path: file }) => session.open(file),
    'project.close': async () => {
      await session.close();
      return null;
    },
    'project.current': () => session.current?.info ?? null,
    'project.recent': () => session.recent(),
    'project.forget': ({ path: file }) => session.forget(file),
  };
}

function studyHandlers(session: ProjectSession): Section<'studies' | 'runs' | 'samples' | 'reports'> {
  return {
    'studies.plan': ({ spec }) => session.runs.plan(spec),
    'studies.try': ({ spec }) => session.runs.tryStudy(spec),
    'studies.cancelTrial': () => {
      session.runs.cancelTrial();
      return null;
    },
    'studies.create': ({ spec }) => session.runs.createStudy(spec),
    'studies.list': () => listStudies(session.runs.project.db),
    'studies.show': ({ studyId }) => session.runs.compare(studyId),
    'studies.resolution': ({ studyId, ...wanted }) => studyResolution(session.runs.compare(studyId), wanted),
    'studies.delete': async ({ studyId }) => {
      await session.runs.deleteStudy(studyId);
      return null;
    },
    'runs.list': ({ studyId }) => listRuns(session.runs.project.db, studyId),
    'runs.snapshot': ({ runId }) => session.runs.snapshot(runId),
    'runs.cancel': ({ runId }) => session.runs.cancel(runId),
    'runs.resume': ({ runId }) => session.runs.resume(runId),
    'samples.query': (filter) => querySamples(session.runs.project.db, filter),
    'samples.compare': (at) => compareSamples(session.runs.project.db, at),
    'reports.preview': ({ studyId, format }) => ({ text: renderStudyReport(session.runs.project.db, session.runs.study(studyId), format) }),
    'reports.export': async ({ studyId, format, path: file }) => {
      requireAbsolute(file);
      const { runs } = session;
      const written = await writeWholeFile(file, await renderStudyReport(runs.project.db, runs.study(studyId), format));
      return { path: written.path, sizeBytes: written.sizeBytes };
    },
  };
}

function requireAbsolute(file: string): void {
  if (!path.isAbsolute(file))
    throw new RoundoffError('bad-input', `"${file}" is not an absolute path.`, 'Give the whole path of the file to write.');
}
