/** What the child processes of `bench peers` are asked, and what they answer with: lines of JSON on stdout. */
import type { BackendName } from '#contract/worker.ts';
import type { KernelTime } from '../../engine/backends/webgpu/timing.ts';
import type { PeerCaseId, PeerSizes } from './cases.ts';

/** Folders and files that the cases read; null where no case needs them. */
export interface PeerFiles {
  dense: string | null;
  w4: string | null;
  nf4: string | null;
  /** For llama.cpp. */
  ggufHalf: string | null;
  ggufQ4: string | null;
}

export type ChildRequest =
  | { task: 'environment'; backend: BackendName }
  | { task: 'prepare'; sizes: PeerSizes; gguf: boolean; cases: PeerCaseId[] }
  | { task: 'peaks'; backend: BackendName; quick: boolean }
  | { task: 'measure'; backend: BackendName; caseId: PeerCaseId; sizes: PeerSizes; files: PeerFiles }
  | { task: 'stock-webgpu'; caseId: PeerCaseId; sizes: PeerSizes }
  | { task: 'onnxruntime'; sizes: PeerSizes }
  | { task: 'checks'; named: string; from: number };

export interface PeerFigure {
  value: number;
  unit: string;
  peakMemoryBytes: number;
  /** Time on the GPU by kernel in one more run, the longest first; absent where the device has no timestamps. */
  kernels?: KernelTime[];
}

/** Why there is no figure. */
export interface Failure {
  reason: string;
}
