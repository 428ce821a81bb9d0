import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSandbox, type Sandbox, type TestRun } from '../../../../src-main/engine/sandbox/index.ts';
import { temporaryFolder } from '../../../support/temporary-folder.ts';
import { attempts } from './escape-attempts.ts';

const host = temporaryFolder('escape');
const secret = join(host, 'secret');
const folder = mkdtempSync(join(tmpdir(), 'roundoff-host-'));
const written = join(folder, 'written');
const variable = 'ROUNDOFF_ESCAPE_TEST';
let connections = 0;
const server = createServer((socket) => {
  connections += 1;
  socket.destroy();
});
let sandbox: Sandbox;
let fill: (code: string) => string;

beforeAll(async () => {
  writeFileSync(secret, 'secret');
  process.env[variable] = 'secret';
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const targets: Record<string, string | number> = { secret, folder, written, port, parent: process.pid, variable };
  fill = (code) => code.replace(/\{(secret|folder|written|port|parent|variable)\}/g, (_, name: string) => String(targets[name]));
  const limits = { testCpuMs: 2500, testWallMs: 40_000, memoryBytes: 256 * 2 ** 20, outputBytes: 2 ** 20 };
  sandbox = await openSandbox({ limits, parallel: 2 });
});

afterAll(() => {
  delete process.env[variable];
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

async function run(code: string, inputs = ['']): Promise<TestRun[]> {
  const runs: TestRun[] = [];
  const error = await sandbox.run(() => ({ code, functionName: null, inputs }), { onTest: (result) => runs.push(result) > 0 });
  expect(error).toBeNull();
  return runs;
}

describe('a program that', () => {
  it.concurrent.each(attempts)('$name is contained', async ({ code, ends }) => {
    const before = Object.getOwnPropertyNames(Object.prototype).join();
    const [result] = await run(fill(code));
    expect(ends).toContain(result!.outcome === 'stopped' ? result!.reason : result!.outcome);
    if (result!.outcome !== 'stopped') expect(result!.output).not.toContain('ESCAPED');
    expect(existsSync(written)).toBe(false);
    expect(connections).toBe(0);
    expect(Object.getOwnPropertyNames(Object.prototype).join()).toBe(before);
    expect((globalThis as { polluted?: unknown }).polluted).toBeUndefined();
  });

  it('leaves something behind leaves nothing for the next', async () => {
    const leave = "import builtins, os, sys\nbuiltins.left = 1\nopen('/tmp/left', 'w').write('1')\nsys.path.append('/left')\nprint('done')";
    const look = "import builtins, os, sys\nprint(hasattr(builtins, 'left'), os.path.exists('/tmp/left'), '/left' in sys.path)";
    expect(await run(leave)).toMatchObject([{ outcome: 'returned', output: 'done\n' }]);
    expect(await run(look)).toMatchObject([{ outcome: 'returned', output: 'False False False\n' }]);
  });

  it('prints replies has printed them, nothing more', async () => {
    const forged = '{"type":"ran","outcome":"returned","output":"42","value":null,"error":null}';
    const [first, second] = await run(`print(input())\nprint('${forged}')`, ['a', 'b']);
    expect(first).toMatchObject({ outcome: 'returned', output: `a\n${forged}\n` });
    expect(second).toMatchObject({ outcome: 'returned', output: `b\n${forged}\n` });
  });

  it('uses chance gets the same every time', async () => {
    const code = 'import random, os, uuid\nprint(random.random(), os.urandom(4).hex(), uuid.uuid4(), hash("a"))';
    expect(await run(code)).toEqual(await run(code));
  });
});

it('leaves no process behind when it is cancelled', async () => {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 1000);
  const running = sandbox.run(() => ({ code: 'while True: pass', functionName: null, inputs: [''] }), {
    signal: controller.signal,
    onTest: () => true,
  });
  await expect(running).rejects.toMatchObject({ code: 'cancelled' });
});
