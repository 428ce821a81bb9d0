import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { commandNames } from '#contract/commands.ts';
import type { CommandResult } from '#contract/errors.ts';
import { createServices, type Services } from '../../../src-main/ipc/services.ts';
import { resourcesDir, tinyStudy, workerEntry } from '../../support/study-run.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const folder = temporaryFolder('services');
// Every command is given: nothing of the user's may be removed, and nothing fetched.
vi.stubEnv('ROUNDOFF_RUNTIMES', path.join(folder, 'runtimes'));
vi.stubEnv('PIP_INDEX_URL', 'http://127.0.0.1:9/simple');
const open: Services[] = [];
let count = 0;

function services(): Services {
  const options = { version: '1.2.3', resourcesDir, workerEntry, appDataDir: path.join(folder, `home${++count}`) };
  const created = createServices({ host: 'browser', ...options });
  open.push(created);
  return created;
}

afterEach(async () => {
  for (const created of open.splice(0)) await created.close();
});

function errorOf(result: CommandResult<unknown>) {
  if (result.ok) throw new Error('the command succeeded');
  return result.error;
}

function unwrap<T>(result: CommandResult<T>): T {
  if (!result.ok) throw new Error(result.error.message);
  return result.value;
}

describe('dispatch', () => {
  it('answers every command of the contract with a result, never with a rejection', async () => {
    const created = services();
    for (const name of commandNames) {
      for (const input of [undefined, null, {}, { path: 7 }, { unknown: true }]) {
        const result = await created.dispatch(name, input);
        if (!result.ok) expect(result.error.code, `${name} ${JSON.stringify(input)}`).not.toBe('internal');
      }
    }
  });

  it('refuses unknown commands and inputs that are not of the contract', async () => {
    const created = services();
    expect(errorOf(await created.dispatch('project.explode', {})).code).toBe('bad-input');
    expect(errorOf(await created.dispatch('toString', {})).code).toBe('bad-input');
    const error = errorOf(await created.dispatch('samples.query', { studyId: 'one', limit: 100000 }));
    expect(error.code).toBe('bad-input');
    expect(error.problems!.join(' ')).toContain('studyId');
    expect(error.problems!.join(' ')).toContain('limit');
  });

  it('names the fields of a malformed study', async () => {
    const created = services();
    const { benchmarks: _, ...spec } = tinyStudy('/m');
    const error = errorOf(await created.dispatch('studies.create', { spec: { ...spec, seeds: [] } }));
    expect(error.code).toBe('recipe-invalid');
    expect(error.problems!.join(' ')).toMatch(/spec\.seeds.*spec\.benchmarks|spec\.benchmarks.*spec\.seeds/);
  });

  it('asks for a project where one is needed', async () => {
    const created = services();
    for (const name of ['studies.list', 'runs.list', 'models.list'] as const)
      expect(errorOf(await created.dispatch(name, {})).code).toBe('no-project');
    expect(errorOf(await created.dispatch('runs.snapshot', { runId: 's1r1' })).code).toBe('no-project');
  });
});

describe('projects', () => {
  it('opens one at a time, announces it and remembers it', async () => {
    const created = services();
    const seen: unknown[] = [];
    created.onEvent((event) => event.type === 'project-changed' && seen.push(event.project?.name ?? null));
    const first = path.join(folder, `first${count}.roundoff`);
    const second = path.join(folder, `second${count}.roundoff`);
    unwrap(await created.dispatch('project.create', { path: first }));
    unwrap(await created.dispatch('project.create', { path: second }));
    expect(unwrap(await created.dispatch('project.current', {}))?.path).toBe(second);
    const [once, twice] = await Promise.all([1, 2].map(() => created.dispatch('project.open', { path: second })));
    expect(unwrap(once!)).toEqual(unwrap(twice!));
    unwrap(await created.dispatch('project.open', { path: first }));
    unwrap(await created.dispatch('project.close', {}));
    expect(seen).toEqual([`first${count}`, `second${count}`, `first${count}`, null]);
    expect(unwrap(await created.dispatch('project.recent', {})).map((entry) => entry.path)).toEqual([first, second]);
    expect(unwrap(await created.dispatch('project.forget', { path: second }))).toHaveLength(1);
  });

  it('keeps the open project when another cannot be opened', async () => {
    const created = services();
    const file = path.join(folder, `kept${count}.roundoff`);
    unwrap(await created.dispatch('project.create', { path: file }));
    const foreign = path.join(folder, 'foreign.roundoff');
    writeFileSync(foreign, 'text');
    expect(errorOf(await created.dispatch('project.open', { path: foreign })).code).toBe('project-foreign');
    expect(errorOf(await created.dispatch('project.open', { path: 'relative.roundoff' })).code).toBe('bad-input');
    expect(unwrap(await created.dispatch('project.current', {}))?.path).toBe(file);
  });

  it('refuses a project that another Roundoff has open', async () => {
    const file = path.join(folder, `shared${count}.roundoff`);
    unwrap(await services().dispatch('project.create', { path: file }));
    expect(errorOf(await services().dispatch('project.open', { path: file })).code).toBe('project-locked');
  });
});

describe('files.list', () => {
  it('shows folders first, marks models and projects, and leaves out what is hidden or broken', async () => {
    const dir = path.join(folder, 'listing');
    for (const name of ['b-folder', 'a-model', 'sharded', '.hidden']) mkdirSync(path.join(dir, name), { recursive: true });
    for (const name of ['a-model/config.json', 'a-model/model.safetensors', 'sharded/config.json', 'sharded/model.safetensors.index.json'])
      writeFileSync(path.join(dir, name), '{}');
    for (const name of ['z.txt', 'p10.roundoff', 'p9.roundoff', '.secret']) writeFileSync(path.join(dir, name), '12345');
    symlinkSync(path.join(dir, 'gone'), path.join(dir, 'dangling'));
    const listing = unwrap(await services().dispatch('files.list', { path: dir }));
    expect(listing.parent).toBe(folder);
    expect(listing.entries.map(({ name, kind, isModel, isProject }) => [name, kind, isModel, isProject])).toEqual([
      ['a-model', 'folder', true, false],
      ['b-folder', 'folder', false, false],
      ['sharded', 'folder', true, false],
      ['p9.roundoff', 'file', false, true],
      ['p10.roundoff', 'file', false, true],
      ['z.txt', 'file', false, false],
    ]);
    expect(listing.entries.at(-1)!.sizeBytes).toBe(5);
  });

  it('starts at home, ends at the root, and refuses what is no folder', async () => {
    const created = services();
    expect(unwrap(await created.dispatch('files.list', { path: null })).path).toBe((await import('node:os')).homedir());
    expect(unwrap(await created.dispatch('files.list', { path: path.parse(folder).root })).parent).toBeNull();
    expect(errorOf(await created.dispatch('files.list', { path: path.join(folder, 'none') })).code).toBe('not-found');
    const file = path.join(folder, 'file.txt');
    writeFileSync(file, '');
    expect(errorOf(await created.dispatch('files.list', { path: file })).code).toBe('bad-input');
  });
});

describe('what is bundled', () => {
  it('offers the sample from easy to hard, and presets that are valid studies of it', async () => {
    const created = services();
    const catalog = unwrap(await created.dispatch('sample.catalog', {}));
    expect(catalog.benchmarks).toHaveLength(5);
    expect(catalog.benchmarks[0]).toMatchObject({ name: 'abacus-sums', path: 'sample:benchmarks/abacus-sums.jsonl' });
    expect(catalog.benchmarks.every((benchmark) => benchmark.problems >= 60 && benchmark.title.length > 3)).toBe(true);
    const presets = unwrap(await created.dispatch('presets.list', {}));
    const first = presets.find((preset) => preset.id === 'first-study')!;
    expect(first.spec.benchmarks.map((benchmark) => benchmark.path)).toEqual(catalog.benchmarks.map((benchmark) => benchmark.path));
    const schemes = ['W4G128', 'W3G128', 'W2G128', 'W2G32'];
    expect(first.spec.variants.map((variant) => variant.name).sort()).toEqual(
      schemes.flatMap((scheme) => [`RTN ${scheme}`, `GPTQ ${scheme}`]).sort(),
    );
    expect(first.spec.protocol.seeds).toEqual([42, 43, 44]);
  });

  it('inspects data files', async () => {
    const created = services();
    const benchmark = unwrap(
      await created.dispatch('datasets.inspect', { path: 'sample:benchmarks/abacus-sums.jsonl', kind: 'benchmark' }),
    );
    expect(benchmark.rows).toBeGreaterThan(0);
    expect(benchmark.preview[0]!.answer).toMatch(/^\d+$/);
    expect(benchmark.problems).toEqual([]);
    const text = path.join(folder, 'text.txt');
    writeFileSync(text, 'one line\n\nanother line\n');
    const calibration = unwrap(await created.dispatch('datasets.inspect', { path: text, kind: 'calibration' }));
    expect(calibration).toMatchObject({ rows: 2, problems: [] });
    const wrong = path.join(folder, 'wrong.jsonl');
    writeFileSync(wrong, '{"text":"fine"}\n{"txt":"typo"}\n');
    const bad = unwrap(await created.dispatch('datasets.inspect', { path: wrong, kind: 'calibration' }));
    expect(bad.problems[0]).toMatchObject({ severity: 'error' });
    expect(bad.problems[0]!.message).toContain('line 2');
    const missing = unwrap(await created.dispatch('datasets.inspect', { path: path.join(folder, 'none.txt'), kind: 'calibration' }));
    expect(missing.problems).toHaveLength(1);
    const csv = path.join(folder, 'mine.csv');
    writeFileSync(csv, 'prompt,target\n1+1?,2\n2+2?,\n');
    const mapping = { path: csv, kind: 'benchmark', columns: { question: 'prompt', answer: 'target' } };
    const mapped = unwrap(await created.dispatch('datasets.inspect', mapping));
    expect(mapped.preview).toEqual([{ prompt: '1+1?', answer: '2' }]);
    expect(mapped.problems).toMatchObject([{ where: 'mine.csv, line 3', message: expect.stringContaining('column "target"') as string }]);
    const kept = unwrap(await created.dispatch('datasets.inspect', { ...mapping, where: { target: '2' } }));
    expect(kept).toMatchObject({ rows: 1, problems: [] });
    const folderOf = unwrap(await created.dispatch('datasets.inspect', { path: folder, kind: 'benchmark' }));
    expect(folderOf.benchmark?.splits).toEqual(expect.arrayContaining(['mine', 'wrong']));
  });
});
