/** Runtime packs: large native libraries that are fetched on demand and lie outside the app. */

export type RuntimeName = 'tensorflow';

/** What an installation is doing, in this order. */
export type RuntimePhase = 'prepare' | 'download' | 'unpack' | 'build' | 'check';

export interface RuntimeProgress {
  name: RuntimeName;
  phase: RuntimePhase;
  /** Of the phase; null where it is not counted in bytes. */
  doneBytes: number | null;
  totalBytes: number | null;
  bytesPerSecond: number | null;
  secondsLeft: number | null;
}

export interface InstalledRuntime {
  version: string;
  variant: 'cpu' | 'cuda';
  /** File name of the wheel that the libraries come from. */
  wheel: string;
  sha256: string;
  sizeBytes: number;
  /** ISO 8601. */
  installedAt: string;
}

export interface RuntimeStatus {
  name: RuntimeName;
  dir: string;
  installed: InstalledRuntime | null;
  /** Why it cannot be installed here, or what is wrong with what is installed; null when all is well. */
  problem: string | null;
  /** Being installed by this process right now. */
  installing: boolean;
}

export const phaseTexts: Record<RuntimePhase, string> = {
  prepare: 'Looking for the wheel',
  download: 'Downloading TensorFlow',
  unpack: 'Unpacking its libraries',
  build: 'Building the binding',
  check: 'Checking that it loads',
};
