/**
 * Every command the renderer can give main: name → input and output, stated once. Main's handlers are a mapped type over this
 * interface, the preload script and the browser client derive their methods from `commandInputs`.
 */
import { z } from 'zod';
import { benchmarkReferenceSchema, problemKinds } from './benchmarks.ts';
import type { StudyComparison } from './comparison.ts';
import type { StudyTrial } from './preflight.ts';
import { studySpecSchema } from './recipe.ts';
import type {
  AppInfo,
  DatasetInspection,
  DoctorReport,
  FileListing,
  ModelInspection,
  ModelRecord,
  Preset,
  ProjectInfo,
  RecentProject,
  RunRecord,
  RunSnapshot,
  SampleCatalog,
  SamplePage,
  SampleRow,
  StudyPlan,
  StudyRecord,
} from './records.ts';
import { resolutionQuerySchema, type StudyResolution } from './resolution.ts';
import type { RuntimeStatus } from './runtime.ts';
import { sampleQuerySchema } from './sample-query.ts';

export const reportFormats = ['html', 'tex', 'xlsx', 'csv', 'md', 'json'] as const;
export type ReportFormat = (typeof reportFormats)[number];
/** All but the workbook, which is bytes. */
export type TextReportFormat = Exclude<ReportFormat, 'xlsx'>;

const none = z.strictObject({});
const path = z.string().min(1).max(4096);
const runId = z.string().min(1).max(64);

export const commandInputs = {
  'app.info': none,
  'app.doctor': none,
  'runtime.status': none,
  'runtime.install': z.strictObject({
    cuda: z.boolean().default(false),
    /** A wheel on this machine; without it one is fetched. */
    wheel: path.nullable().default(null),
  }),
  'runtime.cancel': none,
  'runtime.remove': none,
  'files.list': z.strictObject({ path: path.nullable() }),
  'project.create': z.strictObject({ path, overwrite: z.literal(false).default(false) }),
  'project.open': z.strictObject({ path }),
  'project.close': none,
  'project.current': none,
  'project.recent': none,
  'project.forget': z.strictObject({ path }),
  'models.inspect': z.strictObject({ path }),
  'models.list': none,
  /** The optional fields say how a benchmark is read; `as` is the kind of its problems. */
  'datasets.inspect': z.strictObject({
    path,
    kind: z.enum(['benchmark', 'calibration', 'training']),
    ...benchmarkReferenceSchema.pick({ split: true, columns: true, where: true }).shape,
    as: z.enum(problemKinds).optional(),
  }),
  'sample.catalog': none,
  'presets.list': none,
  'studies.plan': z.strictObject({ spec: studySpecSchema }),
  'studies.try': z.strictObject({ spec: studySpecSchema }),
  'studies.cancelTrial': z.strictObject({}),
  'studies.create': z.strictObject({ spec: studySpecSchema }),
  'studies.list': none,
  'studies.show': z.strictObject({ studyId: z.int() }),
  'studies.resolution': resolutionQuerySchema,
  'studies.delete': z.strictObject({ studyId: z.int() }),
  'runs.list': z.strictObject({ studyId: z.int().nullable().default(null) }),
  'runs.snapshot': z.strictObject({ runId }),
  'runs.cancel': z.strictObject({ runId }),
  'runs.resume': z.strictObject({ runId }),
  'samples.query': sampleQuerySchema,
  /** The same problem and seed across all runs of the study. */
  'samples.compare': z.strictObject({ studyId: z.int(), benchmark: z.string(), problemId: z.string(), seed: z.int() }),
  'reports.export': z.strictObject({ studyId: z.int(), format: z.enum(reportFormats), path }),
  'reports.preview': z.strictObject({ studyId: z.int(), format: z.enum(reportFormats).exclude(['xlsx']) }),
} as const;

export type CommandName = keyof typeof commandInputs;
export const commandNames = Object.keys(commandInputs) as CommandName[];

export interface CommandOutputs {
  'app.info': AppInfo;
  'app.doctor': DoctorReport;
  'runtime.status': RuntimeStatus;
  /** Takes from seconds to minutes; says how far it is as `runtime-progress` events. */
  'runtime.install': RuntimeStatus;
  'runtime.cancel': null;
  'runtime.remove': RuntimeStatus;
  'files.list': FileListing;
  'project.create': ProjectInfo;
  'project.open': ProjectInfo;
  'project.close': null;
  'project.current': ProjectInfo | null;
  'project.recent': RecentProject[];
  'project.forget': RecentProject[];
  'models.inspect': ModelInspection;
  'models.list': ModelRecord[];
  'datasets.inspect': DatasetInspection;
  'sample.catalog': SampleCatalog;
  'presets.list': Preset[];
  'studies.plan': StudyPlan;
  /** Takes from seconds to minutes; says how far it is as `trial-progress` events. */
  'studies.try': StudyTrial;
  'studies.cancelTrial': null;
  'studies.create': StudyRecord;
  'studies.list': StudyRecord[];
  'studies.show': StudyComparison;
  'studies.resolution': StudyResolution;
  'studies.delete': null;
  'runs.list': RunRecord[];
  'runs.snapshot': RunSnapshot;
  'runs.cancel': RunRecord;
  'runs.resume': RunRecord;
  'samples.query': SamplePage;
  'samples.compare': SampleRow[];
  'reports.export': { path: string; sizeBytes: number };
  'reports.preview': { text: string };
}

/** What callers pass (defaults may be left out). */
export type CommandInput<K extends CommandName> = z.input<(typeof commandInputs)[K]>;
/** What handlers receive (defaults filled in). */
export type ParsedInput<K extends CommandName> = z.output<(typeof commandInputs)[K]>;
export type CommandOutput<K extends CommandName> = CommandOutputs[K];

/** What `window.roundoff` offers, in both hosts. */
export type RoundoffApi = {
  invoke<K extends CommandName>(name: K, input: CommandInput<K>): Promise<import('./errors.ts').CommandResult<CommandOutput<K>>>;
  onEvent(listener: (event: import('./records.ts').HostEvent) => void): () => void;
};
