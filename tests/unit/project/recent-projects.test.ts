import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { appDataDir, forgetProject, listRecent, rememberProject } from '../../../src-main/project/recent-projects.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const folder = temporaryFolder('recent');

describe('recent projects', () => {
  it('lists the newest first, once each, and marks those that are gone', () => {
    const dir = path.join(folder, 'list');
    const kept = path.join(folder, 'kept.roundoff');
    writeFileSync(kept, '');
    rememberProject(dir, { path: kept, name: 'kept' });
    rememberProject(dir, { path: path.join(folder, 'gone.roundoff'), name: 'gone' });
    rememberProject(dir, { path: kept, name: 'kept' });
    expect(listRecent(dir).map(({ name, exists }) => ({ name, exists }))).toEqual([
      { name: 'kept', exists: true },
      { name: 'gone', exists: false },
    ]);
    forgetProject(dir, kept);
    expect(listRecent(dir).map((entry) => entry.name)).toEqual(['gone']);
  });

  it('keeps twenty entries', () => {
    const dir = path.join(folder, 'many');
    for (let index = 0; index < 25; index++) rememberProject(dir, { path: `/p${index}`, name: `p${index}` });
    expect(listRecent(dir)).toHaveLength(20);
    expect(listRecent(dir)[0]!.name).toBe('p24');
  });

  it('starts anew from a damaged list', () => {
    const dir = path.join(folder, 'damaged');
    rememberProject(dir, { path: '/a', name: 'a' });
    writeFileSync(path.join(dir, 'recent-projects.json'), '[{"path": 3}]');
    expect(listRecent(dir)).toEqual([]);
    rememberProject(dir, { path: '/b', name: 'b' });
    expect(listRecent(dir).map((entry) => entry.name)).toEqual(['b']);
  });

  it('honours ROUNDOFF_HOME', () => {
    expect(appDataDir({ ROUNDOFF_HOME: folder })).toBe(folder);
  });
});
