/** Keeps two installations off the same folder. A lock whose process is gone counts for nothing. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { RoundoffError } from '#contract/errors.ts';

/** @throws RoundoffError `bad-input` while another process holds it. Returns what gives it back. */
export function lockRuntimes(dir: string): () => void {
  const file = path.join(dir, '.lock');
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' });
      return () => rmSync(file, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      if (isHeld(file)) break;
      rmSync(file, { force: true });
    }
  }
  throw new RoundoffError(
    'bad-input',
    `Another process is installing or removing a runtime in ${dir}.`,
    'Wait until it is done, or cancel it.',
  );
}

function isHeld(file: string): boolean {
  try {
    const pid = Number(readFileSync(file, 'utf8'));
    if (!Number.isInteger(pid) || pid <= 0) return false;
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
