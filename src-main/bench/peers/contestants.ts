/** Who is measured: ourselves, and every peer that is installed here; those that are not, with how to install them. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { BackendName } from '#contract/worker.ts';
import { appRoot } from '../app-root.ts';
import { type PeerCaseId, type PeerSizes, peerCaseIds } from './cases.ts';
import type { ChildRequest, Failure, PeerFigure, PeerFiles } from './messages.ts';
import { isFailure, lastAnswer, runChild, runProgram } from './run-child.ts';

export interface Contestant {
  name: string;
  cases: readonly PeerCaseId[];
  measure(caseId: PeerCaseId, sizes: PeerSizes, files: PeerFiles, limitMs: number): PeerFigure | Failure;
}

export interface MissingPeer {
  name: string;
  /** Why, and how to have it measured. */
  reason: string;
}

export interface Field {
  contestants: Contestant[];
  missing: MissingPeer[];
  /** Versions of what was found. */
  versions: Record<string, string>;
}

const root = appRoot();
const scripts = path.join(root, 'scripts/peers');
const probeMs = 120_000;

export function ourselves(backend: BackendName): Contestant {
  return {
    name: `Roundoff (${backend})`,
    cases: peerCaseIds,
    measure: (caseId, sizes, files, limitMs) => askChild({ task: 'measure', backend, caseId, sizes, files }, limitMs),
  };
}

/** Looks for every peer; takes a few seconds. `webgpu` says whether there is an adapter for the stock library. */
export function findPeers({ webgpu }: { webgpu: boolean }): Field {
  const fields = [pythonPeers(), llamaPeers(), stockWebgpu(webgpu), onnxRuntime()];
  const all = fields.flatMap(({ contestants }) => contestants);
  const isSlowToStart = ({ name }: Contestant) => name.includes(' compiled');
  return {
    contestants: [...all.filter((one) => !isSlowToStart(one)), ...all.filter(isSlowToStart)],
    missing: fields.flatMap(({ missing }) => missing),
    versions: Object.assign({}, ...fields.map(({ versions }) => versions)) as Record<string, string>,
  };
}

function askChild(request: ChildRequest, limitMs: number): PeerFigure | Failure {
  return lastAnswer<PeerFigure>(runChild(request, { limitMs }));
}

interface Probe {
  torch: string;
  device: string;
  cuda: boolean;
  transformers: string | null;
  trl: string | null;
  bitsandbytes: string | null;
}

function pythonPeers(): Field {
  const script = path.join(scripts, 'model_peers.py');
  const found = setupFile().python;
  const candidates = [process.env.ROUNDOFF_PYTHON, path.resolve('.venv/bin/python'), found, 'python3', 'python'];
  const names = candidates.filter((name): name is string => Boolean(name) && (!path.isAbsolute(name!) || existsSync(name!)));
  for (const python of names) {
    const probe = lastAnswer<Probe>(runProgram(python, [script, 'probe'], { limitMs: probeMs }));
    if (!isFailure(probe)) return pythonField(python, script, probe);
  }
  const howTo = 'install torch and transformers and name that Python in ROUNDOFF_PYTHON';
  const missing = ['PyTorch and transformers', 'TRL', 'bitsandbytes'].map((name) => ({
    name,
    reason: `no Python with torch was found: ${howTo}`,
  }));
  return { contestants: [], missing, versions: {} };
}

function pythonField(python: string, script: string, { torch, device, cuda, transformers, trl, bitsandbytes }: Probe): Field {
  const where = cuda ? `${device}, bfloat16` : 'processor, float32';
  const contestant = (name: string, cases: PeerCaseId[], variant = 'eager'): Contestant => ({
    ...{ name, cases },
    measure: (caseId, sizes, files, limitMs) =>
      lastAnswer(runProgram(python, [script, caseId, JSON.stringify({ variant, sizes, files })], { limitMs })),
  });
  const contestants = [contestant(`PyTorch ${torch} eager, ${where}`, ['gemm-f32', 'gemm-f16', 'gptq'])];
  const missing: MissingPeer[] = [];
  const needs = (version: string | null, name: string, make: () => Contestant[]) => {
    if (version === null) missing.push({ name, reason: `not in ${python}: run "${python} -m pip install ${name.toLowerCase()}"` });
    else contestants.push(...make());
  };
  const modelCases: PeerCaseId[] = ['decode-1', 'decode-64', 'train-step'];
  needs(transformers, 'transformers', () => [
    contestant(`transformers ${transformers} eager, ${where}`, modelCases),
    contestant(`transformers ${transformers} compiled, ${where}`, modelCases, 'compiled'),
  ]);
  needs(trl, 'TRL', () => [contestant(`TRL ${trl}, ${where}`, ['grpo-step'])]);
  needs(bitsandbytes, 'bitsandbytes', () => [contestant(`bitsandbytes ${bitsandbytes}, ${where}`, ['decode-nf4'])]);
  const versions = { torch, ...(transformers && { transformers }), ...(trl && { trl }), ...(bitsandbytes && { bitsandbytes }) };
  return { contestants, missing, versions: versions as Record<string, string> };
}

const llamaBuilds = [
  { gpu: false, name: 'processor' },
  { gpu: 'vulkan', name: 'Vulkan' },
  { gpu: 'cuda', name: 'CUDA' },
] as const;

function llamaPeers(): Field {
  const llamaDir = process.env.ROUNDOFF_LLAMA ?? setupFile().llamaDir;
  const manifest = llamaDir ? path.join(llamaDir, 'node_modules/node-llama-cpp/package.json') : null;
  if (!llamaDir || !manifest || !existsSync(manifest)) {
    const reason = 'not found: run "node scripts/interop/setup.mjs", or name a folder with node_modules/node-llama-cpp in ROUNDOFF_LLAMA';
    return { contestants: [], missing: [{ name: 'llama.cpp (node-llama-cpp)', reason }], versions: {} };
  }
  const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string };
  const script = path.join(scripts, 'llama_peer.mjs');
  const field: Field = { contestants: [], missing: [], versions: { 'node-llama-cpp': version } };
  for (const { gpu, name } of llamaBuilds) {
    const ask = (request: object, limitMs: number) =>
      runProgram(process.execPath, [script, JSON.stringify({ llamaDir, gpu, ...request })], { limitMs });
    const probe = lastAnswer<{ gpu: string | false }>(ask({}, probeMs));
    if (isFailure(probe)) {
      const howTo = gpu
        ? `: install @node-llama-cpp/${process.platform === 'win32' ? 'win' : 'linux'}-x64-${gpu} of version ${version} beside it`
        : '';
      field.missing.push({ name: `llama.cpp, ${name}`, reason: `${probe.reason}${howTo}` });
      continue;
    }
    field.contestants.push({
      name: `llama.cpp (node-llama-cpp ${version}), ${name}`,
      cases: ['decode-1', 'decode-64', 'decode-w4'],
      measure(caseId, { promptTokens, newTokens, repeats }, { ggufHalf, ggufQ4 }, limitMs) {
        const model = caseId === 'decode-w4' ? ggufQ4 : ggufHalf;
        const batch = caseId === 'decode-64' ? 64 : 1;
        if (model === null) return { reason: 'the GGUF file was not made' };
        return lastAnswer(ask({ model, batch, promptTokens, newTokens, repeats }, limitMs));
      },
    });
  }
  return field;
}

function stockWebgpu(available: boolean): Field {
  if (!available)
    return { contestants: [], missing: [{ name: 'stock TF.js webgpu', reason: 'no WebGPU adapter was found' }], versions: {} };
  const measure: Contestant['measure'] = (caseId, sizes, _files, limitMs) => askChild({ task: 'stock-webgpu', caseId, sizes }, limitMs);
  return { contestants: [{ name: 'stock TF.js webgpu', cases: ['gemm-f32', 'toy-step'], measure }], missing: [], versions: {} };
}

function onnxRuntime(): Field {
  const measure: Contestant['measure'] = (_caseId, sizes, _files, limitMs) => askChild({ task: 'onnxruntime', sizes }, limitMs);
  return { contestants: [{ name: 'onnxruntime-node, processor', cases: ['gemm-f32'], measure }], missing: [], versions: {} };
}

/** What scripts/interop/setup.mjs found or installed. */
function setupFile(): { python: string | null; llamaDir: string | null } {
  const file = path.join(root, '.cache/interop/setup.json');
  if (!existsSync(file)) return { python: null, llamaDir: null };
  return JSON.parse(readFileSync(file, 'utf8')) as { python: string | null; llamaDir: string | null };
}
