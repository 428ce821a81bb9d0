/**
 * The TensorFlow runtime pack: a folder of its own outside the app, which `roundoff runtime install tensorflow` fills and nothing else needs.
 * `lib/` holds TensorFlow's libraries and the binding built against them; `nvidia/<component>/lib` the CUDA libraries or links to their
 * folders, where TensorFlow's own search path looks; `pack.json` says what it is and is written last.
 */
import { readFileSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { z } from 'zod';
import { RoundoffError } from '#contract/errors.ts';

export const packFormat = 1;

const packSchema = z.object({
  format: z.literal(packFormat),
  version: z.string(),
  variant: z.enum(['cpu', 'cuda']),
  platform: z.string(),
  wheel: z.string(),
  sha256: z.string(),
  installedAt: z.string(),
  /** Bytes of every file under `lib/`. */
  files: z.record(z.string(), z.number()),
  /** Folders of CUDA libraries, absolute. */
  cudaDirs: z.array(z.string()),
});

export type TensorflowPack = z.infer<typeof packSchema>;

export const bindingFile = 'tfjs_binding.node';

const installHint = 'It is optional; `roundoff runtime install tensorflow`, or the button on the start screen, installs it.';

/** Where runtime packs lie: `ROUNDOFF_RUNTIMES`, `runtimes` in `ROUNDOFF_HOME`, or the platform's place for an app's data. */
export function runtimesDir(env: NodeJS.ProcessEnv = process.env): string {
  if (env.ROUNDOFF_RUNTIMES) return path.resolve(env.ROUNDOFF_RUNTIMES);
  if (env.ROUNDOFF_HOME) return path.resolve(env.ROUNDOFF_HOME, 'runtimes');
  if (process.platform === 'win32')
    return path.join(env.LOCALAPPDATA ?? path.join(os.homedir(), 'AppData', 'Local'), 'Roundoff', 'runtimes');
  if (process.platform === 'darwin') return path.join(os.homedir(), 'Library', 'Application Support', 'Roundoff', 'runtimes');
  return path.join(env.XDG_DATA_HOME ?? path.join(os.homedir(), '.local', 'share'), 'roundoff', 'runtimes');
}

export function tensorflowPackDir(env: NodeJS.ProcessEnv = process.env): string {
  return path.join(runtimesDir(env), 'tensorflow');
}

/** The pack in `dir`, its files looked at. @throws RoundoffError `backend-unavailable` when it is missing or not whole. */
export function readTensorflowPack(dir: string): TensorflowPack {
  const pack = parsePack(dir);
  const here = `${process.platform}-${process.arch}`;
  if (pack.platform !== here) throw broken(dir, `it was made for ${pack.platform}, and this is ${here}`);
  for (const [name, sizeBytes] of Object.entries(pack.files)) {
    const file = path.join(dir, 'lib', name);
    const found = statSync(file, { throwIfNoEntry: false });
    if (found?.size !== sizeBytes) throw broken(dir, `lib/${name} ${found ? `has ${found.size} bytes, not ${sizeBytes}` : 'is missing'}`);
  }
  return pack;
}

function parsePack(dir: string): TensorflowPack {
  let text: string;
  try {
    text = readFileSync(path.join(dir, 'pack.json'), 'utf8');
  } catch (cause) {
    throw new RoundoffError('backend-unavailable', 'its runtime pack is not installed', installHint, { cause });
  }
  try {
    return packSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw broken(dir, 'its pack.json cannot be read', cause);
  }
}

function broken(dir: string, what: string, cause?: unknown): RoundoffError {
  return new RoundoffError(
    'backend-unavailable',
    `its runtime pack in ${dir} is not usable: ${what}`,
    'Install it again with `roundoff runtime install tensorflow`, or choose the wasm or webgpu backend.',
    { cause },
  );
}
