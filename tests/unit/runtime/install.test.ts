/** Installing the TensorFlow pack from small stand-in wheels: what is put where, and what every failure says and leaves. */
import { existsSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { RoundoffError } from '#contract/errors.ts';
import type { RuntimePhase } from '#contract/runtime.ts';
import { readTensorflowPack } from '../../../src-main/engine/backends/tensorflow/pack.ts';
import { RuntimeService, tensorflowStatus } from '../../../src-main/runtime/index.ts';
import { type InstallOptions, installTensorflow, removeTensorflow } from '../../../src-main/runtime/install.ts';
import { type FakeIndex, fakeTools, serveIndex, tensorflowFiles, writeFakeWheel, writeScript } from '../../support/fake-wheel.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const supported = process.platform === 'linux' && process.arch === 'x64';
const folder = temporaryFolder('runtime-install');
const tools = fakeTools(folder);
let count = 0;
let runtimes: string;
let index: FakeIndex | null = null;

beforeEach(() => {
  count += 1;
  runtimes = path.join(folder, `runtimes-${count}`);
  vi.stubEnv('ROUNDOFF_RUNTIMES', runtimes);
  vi.stubEnv('CXX', tools.compiler);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await index?.close();
  index = null;
});

const wheelDir = () => path.join(folder, `wheels-${count}`);
const pack = () => path.join(runtimes, 'tensorflow');
const install = (options: Partial<InstallOptions> = {}) => installTensorflow({ nodeFile: tools.nodeFile, ...options });
const failure = async (options: Partial<InstallOptions>) => (await install(options).catch((error: unknown) => error)) as RoundoffError;

describe.runIf(supported)('installTensorflow', () => {
  it('fetches the wheel, keeps the libraries and the binding alone, and reports every phase', async () => {
    index = await serveIndex(writeFakeWheel(wheelDir()));
    const phases = new Set<RuntimePhase>();
    const counted: number[] = [];
    await install({
      index: index.url,
      onProgress: ({ phase, doneBytes, totalBytes }) => {
        phases.add(phase);
        if (phase === 'unpack' && doneBytes !== null) counted.push(doneBytes / totalBytes!);
      },
    });
    expect([...phases]).toEqual(['prepare', 'download', 'unpack', 'build', 'check']);
    expect(counted.at(-1)).toBe(1);
    expect(readdirSync(runtimes)).toEqual(['tensorflow']);
    expect(readdirSync(pack()).sort()).toEqual(['lib', 'pack.json']);
    expect(readdirSync(path.join(pack(), 'lib')).sort()).toEqual([
      'libtensorflow_cc.so.2',
      'libtensorflow_framework.so.2',
      'tfjs_binding.node',
    ]);
    expect(readFileSync(path.join(pack(), 'lib/libtensorflow_cc.so.2'), 'utf8')).toBe(tensorflowFiles['tensorflow/libtensorflow_cc.so.2']);
    expect(readTensorflowPack(pack())).toMatchObject({ version: '2.21.0', variant: 'cpu', cudaDirs: [] });
    expect(tensorflowStatus()).toMatchObject({ problem: null, installed: { version: '2.21.0' } });
    expect(await removeTensorflow()).toEqual({ removed: true });
    expect(existsSync(runtimes)).toBe(false);
    expect(await removeTensorflow()).toEqual({ removed: false });
  });

  it('takes a local wheel and replaces what was installed, from HTML pages too', async () => {
    await install({ wheel: writeFakeWheel(wheelDir()) });
    const first = readTensorflowPack(pack());
    index = await serveIndex(writeFakeWheel(wheelDir(), { files: { ...tensorflowFiles, 'tensorflow/libtensorflow_cc.so.2': 'new' } }), {
      html: true,
    });
    await install({ index: index.url });
    expect(readTensorflowPack(pack()).sha256).not.toBe(first.sha256);
    expect(readFileSync(path.join(pack(), 'lib/libtensorflow_cc.so.2'), 'utf8')).toBe('new');
  });

  it('goes on with a download that broke off, and with one that was killed', async () => {
    const wheel = writeFakeWheel(wheelDir());
    let requests = 0;
    index = await serveIndex(wheel, {
      answer: (_request, response, bytes) => {
        requests += 1;
        if (requests > 1) return false;
        response.writeHead(200, { 'content-length': bytes.length });
        response.write(bytes.subarray(0, 100), () => setTimeout(() => response.destroy(), 50));
        return true;
      },
    });
    await install({ index: index.url });
    expect(index.ranges).toEqual([undefined, 'bytes=100-']);
    expect(readTensorflowPack(pack()).version).toBe('2.21.0');
  });

  it('keeps what was downloaded when the network stays away, and nothing when it is cancelled', async () => {
    const wheel = writeFakeWheel(wheelDir());
    const cutOff = (_request: unknown, response: import('node:http').ServerResponse, bytes: Buffer) => {
      response.writeHead(200, { 'content-length': bytes.length });
      response.write(bytes.subarray(0, 100), () => setTimeout(() => response.destroy(), 20));
      return true;
    };
    index = await serveIndex(wheel, { answer: cutOff });
    const error = await failure({ index: index.url });
    expect(error.code).toBe('network');
    expect(error.hint).toContain('goes on where it stopped');
    expect(readdirSync(path.join(runtimes, '.downloads'))).toHaveLength(1);
    await index.close();

    const abort = new AbortController();
    index = await serveIndex(wheel, {
      answer: (_request, response, bytes) => {
        response.writeHead(200, { 'content-length': bytes.length });
        response.write(bytes.subarray(0, 100), () => setTimeout(() => abort.abort(), 20));
        return true;
      },
    });
    expect((await failure({ index: index.url, signal: abort.signal })).code).toBe('cancelled');
    expect(readdirSync(runtimes)).toEqual([]);
  });

  it('refuses what does not have the hash of the index, and deletes it', async () => {
    index = await serveIndex(writeFakeWheel(wheelDir()), { sha256: '0'.repeat(64) });
    const error = await failure({ index: index.url });
    expect(error.code).toBe('bad-input');
    expect(error.message).toContain('sha256');
    expect(readdirSync(path.join(runtimes, '.downloads'))).toEqual([]);
    expect(existsSync(pack())).toBe(false);
  });

  it('says when no index answers', async () => {
    const error = await failure({ index: 'http://127.0.0.1:9/simple' });
    expect(error.code).toBe('network');
    expect(error.hint).toContain('--wheel');
  });

  it.each([
    [
      'a torn wheel',
      'not a whole wheel',
      () => {
        const file = writeFakeWheel(wheelDir());
        truncateSync(file, 300);
        return file;
      },
    ],
    [
      'a damaged file inside',
      'is damaged: tensorflow/libtensorflow_framework.so.2',
      () => writeFakeWheel(wheelDir(), { record: (file, hash) => (file.includes('framework') ? 'A'.repeat(43) : hash) }),
    ],
    ['another platform', 'does not run on this', () => writeFakeWheel(wheelDir(), { platform: 'win_amd64' })],
    ['a newer glibc', 'does not run on this', () => writeFakeWheel(wheelDir(), { platform: 'manylinux_2_99_x86_64' })],
    ['another version', 'known to work is', () => writeFakeWheel(wheelDir(), { version: '2.9.1' })],
    ['another project', 'is a wheel of numpy', () => writeFakeWheel(wheelDir(), { name: 'numpy' })],
    ['a wheel without the library', 'holds no tensorflow/libtensorflow_cc.so.2', () => writeFakeWheel(wheelDir(), { files: {} })],
  ])('refuses %s and leaves nothing', async (_what, message, wheel) => {
    const error = await failure({ wheel: wheel() });
    expect(error.message).toContain(message);
    expect(error.code).toBe('bad-input');
    expect(readdirSync(runtimes)).toEqual([]);
  });

  it('asks for a compiler before it fetches anything', async () => {
    vi.stubEnv('CXX', path.join(folder, 'no-such-compiler'));
    const error = await failure({ wheel: writeFakeWheel(wheelDir()) });
    expect(error.message).toContain('no C++ compiler');
    expect(error.hint).toContain('apt install g++');
    expect(existsSync(runtimes)).toBe(false);
  });

  it('says what the compiler said, and what the binding misses', async () => {
    vi.stubEnv(
      'CXX',
      writeScript(path.join(folder, 'bad-compiler'), '[ "$1" = --version ] && exit 0; echo "x.cc:1: error: no such thing" >&2; exit 1'),
    );
    expect((await failure({ wheel: writeFakeWheel(wheelDir()) })).message).toContain('error: no such thing');
    vi.stubEnv('CXX', tools.compiler);
    const { nodeFile } = fakeTools(path.join(folder, 'lame'));
    writeScript(nodeFile, 'echo "Error: libxyz.so.1: cannot open shared object file" >&2; exit 1');
    const error = await failure({ wheel: writeFakeWheel(wheelDir()), nodeFile });
    expect(error.message).toContain('libxyz.so.1');
    expect(readdirSync(runtimes)).toEqual([]);
  });

  it('clears away what a killed installation left, and waits for no dead process', async () => {
    await install({ wheel: writeFakeWheel(wheelDir()) });
    writeFileSync(path.join(runtimes, '.lock'), '999999999');
    mkdirSync(path.join(runtimes, '.tensorflow.0123.partial'));
    await install({ wheel: writeFakeWheel(wheelDir()) });
    expect(readdirSync(runtimes)).toEqual(['tensorflow']);
    writeFileSync(path.join(runtimes, '.lock'), String(process.ppid));
    expect((await failure({ wheel: writeFakeWheel(wheelDir()) })).message).toContain('Another process');
  });
});

describe.runIf(supported)('RuntimeService', () => {
  it('tells what it does, installs once at a time, and cancels when it is closed', async () => {
    const events: string[] = [];
    const service = new RuntimeService(tools.nodeFile, (event) => events.push(event.type));
    expect(service.status()).toMatchObject({ installed: null, installing: false, problem: null });
    const wheel = writeFakeWheel(wheelDir());
    const first = service.install({ wheel });
    expect(service.status().installing).toBe(true);
    await expect(service.install({ wheel })).rejects.toThrow('already');
    expect(await first).toMatchObject({ installing: false, installed: { variant: 'cpu' } });
    expect(new Set(events)).toEqual(new Set(['runtime-progress', 'runtime-changed']));
    const second = service.install({ wheel }).catch((error: RoundoffError) => error.code);
    await service.close();
    expect(await second).toBe('cancelled');
    expect((await service.remove()).installed).toBeNull();
  });
});
