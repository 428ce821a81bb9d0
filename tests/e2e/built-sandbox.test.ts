/** The built command line judges programs, away from the sources. Packages stand beside it, as in an installed app. */
import { execFile } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../support/temporary-folder.ts';

const root = path.resolve(import.meta.dirname, '../..');
const built = path.join(root, 'out/main');

it("keeps the child's code in one file, and what starts it in one that command line and worker share", () => {
  const child = readFileSync(path.join(built, 'sandbox-child.js'), 'utf8');
  const imports = [...child.matchAll(/^import\b.*?["']([^"']+)["'];?$|\bimport\(\s*["']([^"']+)["']/gm)].map(
    (match) => match[1] ?? match[2],
  );
  expect(imports.length).toBeGreaterThan(0);
  for (const name of imports) expect(name).toMatch(/^node:/);
  const chunks = readdirSync(path.join(built, 'chunks')).filter((name) => name.endsWith('.js'));
  const starters = chunks.filter((name) => readFileSync(path.join(built, 'chunks', name), 'utf8').includes('sandbox-child.js'));
  expect(starters).toHaveLength(1);
  for (const entry of ['cli.js', 'worker.js']) expect(readFileSync(path.join(built, entry), 'utf8')).toContain(`./chunks/${starters[0]}`);
});

it('judges programs from wherever it is installed', async () => {
  const folder = temporaryFolder('installed');
  const app = path.join(folder, 'app.asar.unpacked');
  mkdirSync(path.join(app, 'out'), { recursive: true });
  cpSync(built, path.join(app, 'out/main'), { recursive: true });
  copyFileSync(path.join(root, 'package.json'), path.join(app, 'package.json'));
  symlinkSync(path.join(root, 'node_modules'), path.join(app, 'node_modules'), 'junction');
  const rows = path.join(folder, 'programs.jsonl');
  const tests = { kind: 'stdin', cases: [{ input: '3\n1 2 3\n', expected: '6\n' }] };
  const programs = ['input()\nprint(sum(map(int, input().split())))', 'print(input())'];
  const completions = programs.map((code) => `\`\`\`python\n${code}\n\`\`\``);
  writeFileSync(rows, completions.map((completion) => `${JSON.stringify({ completion, tests })}\n`).join(''));
  // A cache of its own, so that the built child makes the snapshot too.
  const env = { ...process.env, HOME: folder, XDG_CACHE_HOME: folder, LOCALAPPDATA: folder, ROUNDOFF_HOME: folder };
  const args = [path.join(app, 'out/main/cli.js'), 'verify', rows, '--verifier', 'code'];
  const { stdout } = await promisify(execFile)(process.execPath, args, { env });
  const verdicts = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(verdicts).toEqual([
    { verdict: 'correct', extracted: programs[0] },
    { verdict: 'incorrect', extracted: programs[1], detail: 'test 1 of 1: "3" instead of "6"' },
  ]);
});
