/** A study of every kind that needs no sandbox, by real workers: killed while it scores, resumed, and asked for again. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openProject } from '../../src-main/project/project.ts';
import { listRuns } from '../../src-main/project/repositories/runs.ts';
import { recordedSamples } from '../../src-main/project/repositories/samples.ts';
import { listWindows } from '../../src-main/project/repositories/windows.ts';
import { parseStudySpec } from '../../src-preload/contract/recipe.ts';
import { tinyStudy, Workbench, workerProcesses } from '../support/study-run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { writeTinyModel } from '../support/tiny-model.ts';

const folder = temporaryFolder('mixed-kinds');
const modelDir = path.join(folder, 'tiny');
const home = path.join(folder, 'home');
const endings = ['falls', 'sings in the night', 'is old', 'walks on'];
const gpqaHeader = 'Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2,Incorrect Answer 3\n';

beforeAll(async () => {
  await writeTinyModel(modelDir, 7, { max_position_embeddings: 1024 });
  mkdirSync(path.join(folder, 'hella'), { recursive: true });
  const rows = Array.from({ length: 400 }, (_, id) => JSON.stringify({ id, ctx: `The dog of house ${id}`, endings, label: id % 4 }));
  writeFileSync(path.join(folder, 'hella/validation-00000-of-00001.jsonl'), rows.join('\n'));
  writeFileSync(path.join(folder, 'hella/train-00000-of-00001.jsonl'), rows[0]!);
  writeFileSync(
    path.join(folder, 'gpqa.csv'),
    gpqaHeader + Array.from({ length: 6 }, (_, n) => `${n}+${n}?,${2 * n},${n + 7},9${n},8${n}\n`).join(''),
  );
  writeFileSync(path.join(folder, 'mine.csv'), 'prompt,target\n1+1=?,2\n2+2=?,4\n');
  writeFileSync(path.join(folder, 'story.txt'), 'The river is green and the night is old.\n'.repeat(400));
});

const spec = () => {
  const tiny = tinyStudy(modelDir);
  return parseStudySpec(
    {
      ...tiny,
      name: 'Every kind',
      variants: tiny.variants.slice(0, 1),
      benchmarks: [
        { name: 'mine', path: path.join(folder, 'mine.csv'), columns: { question: 'prompt', answer: 'target' } },
        { name: 'gpqa', path: path.join(folder, 'gpqa.csv') },
        { name: 'hella', path: path.join(folder, 'hella'), split: 'validation' },
        { name: 'story', path: path.join(folder, 'story.txt') },
      ],
      protocol: { ...tiny.protocol, maxNewTokens: 16, problemsPerBenchmark: null, perplexity: { window: 64, stride: 32 } },
    },
    'every kind',
  );
};

describe('a study of every kind', () => {
  const file = path.join(folder, 'kinds.roundoff');
  const bench = new Workbench(home);
  afterAll(() => bench.services.close());

  it('goes on after a kill with what it had, and compares everything', async () => {
    await bench.command('project.create', { path: file });
    const study = await bench.command('studies.create', { spec: spec() });
    const { runId } = await bench.when(
      (event) => event.type === 'run-events' && event.events.some(({ type }) => type === 'window') && event,
    );
    for (const pid of workerProcesses()) process.kill(pid, 'SIGKILL');
    await bench.settled();
    for (const run of await bench.command('runs.list', { studyId: study.id }))
      if (run.status !== 'finished') await bench.command('runs.resume', { runId: run.id });
    expect((await bench.ended(runId)).status).toBe('finished');
    await bench.settled();
    const comparison = await bench.command('studies.show', { studyId: study.id });
    expect(comparison.complete).toBe(true);
    expect(comparison.benchmarks.map(({ name, kind, problems }) => [name, kind, problems])).toEqual([
      ['mine', undefined, 2],
      ['gpqa', 'choice', 6],
      ['hella', 'likelihood', 400],
    ]);
    expect(comparison.benchmarks[2]!.floor).toBe(0.25);
    expect(comparison.texts.map(({ name }) => name)).toEqual(['story']);
    expect(comparison.protocol).toMatchObject({ verifiers: { choice: 'choice-1' }, perplexity: { window: 64, stride: 32 } });
    const [first, second] = comparison.rows;
    for (const row of [first!, second!]) {
      expect(row.otherProtocol).toBeNull();
      expect(row.average).not.toBeNull();
      expect(row.benchmarks.map(({ benchmark, problems, seeds }) => [benchmark, problems, seeds.length])).toEqual([
        ['mine', 2, 3],
        ['gpqa', 6, 3],
        ['hella', 400, 1],
      ]);
      expect(row.perplexities[0]).toMatchObject({ text: 'story', complete: true });
    }
    expect(second!.drop).not.toBeNull();
    expect(second!.perplexities[0]!.change!.ratio).toBeGreaterThan(0);
    expect(second!.perplexities[0]!.windows).toBe(first!.perplexities[0]!.windows);
  });

  it('is the same as one undisturbed, in samples and windows', async () => {
    await bench.command('project.close', {});
    await bench.command('project.create', { path: path.join(folder, 'undisturbed.roundoff') });
    await bench.command('studies.create', { spec: spec() });
    await bench.settled();
    await bench.command('project.close', {});
    const rowsOf = (name: string) => {
      const project = openProject(path.join(folder, `${name}.roundoff`));
      const rows = listRuns(project.db, null).map(({ id }) => [
        recordedSamples(project.db, id).toSorted(([a], [b]) => (a < b ? -1 : 1)),
        listWindows(project.db, id),
      ]);
      project.close();
      return rows;
    };
    const undisturbed = rowsOf('undisturbed');
    expect(undisturbed.map(([samples, windows]) => [samples!.length, windows!.length > 10])).toEqual([
      [424, true],
      [424, true],
    ]);
    expect(rowsOf('kinds')).toEqual(undisturbed);
  });
});
