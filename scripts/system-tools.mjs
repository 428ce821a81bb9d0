// What tests need beside npm's packages. A Chromium to drive, which also brings the software Vulkan driver that the webgpu backend is tested
// on: it is looked for, installed with Debian's package tool where that is possible, and otherwise named with the exact command. And the
// TensorFlow runtime pack, installed by Roundoff's own command where the Python package index is in reach.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';

const aptCommand = 'apt-get update && apt-get install -y chromium libvulkan1';

/** Path of a Chromium or Chrome, installing Debian's where root may; null, with the command printed, where there is none. */
export function ensureChromium(say) {
  const found = findChromium();
  if (found) return found;
  if (process.platform === 'linux' && process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')) {
    say('installing Chromium and the Vulkan loader for the tests (apt-get)…');
    spawnSync('sh', ['-c', aptCommand.replaceAll('apt-get', 'DEBIAN_FRONTEND=noninteractive apt-get -qq')], {
      stdio: ['ignore', 'ignore', 2],
    });
    const installed = findChromium();
    if (installed) return installed;
  }
  say(
    `no Chromium found: the end-to-end tests, and those on a software GPU, are skipped. Install one (Debian: sudo sh -c "${aptCommand}") or set ROUNDOFF_CHROMIUM to its path.`,
  );
  return null;
}

const tensorflowMinutes = 3;

/**
 * Folder of the runtime packs that tests use: the one that `ROUNDOFF_RUNTIMES` names, or one of the checkout's own, into which TensorFlow is
 * installed first. Where that does not work, the reason is printed and the tests on tensorflow are left out.
 */
export function ensureTensorflow(say, node, root) {
  if (process.env.ROUNDOFF_RUNTIMES) return process.env.ROUNDOFF_RUNTIMES;
  const runtimes = path.join(root, '.cache/runtimes');
  const env = { ...process.env, ROUNDOFF_RUNTIMES: runtimes };
  const runtime = (args, options = {}) =>
    spawnSync(node, [path.join(root, 'src-main/cli/index.ts'), 'runtime', ...args, '--json'], { env, encoding: 'utf8', ...options });
  const [status] = JSON.parse(runtime(['list']).stdout || '[{}]');
  if (status.installed) return runtimes;
  say('installing TensorFlow for the tests of its backend (270 MB)…');
  // Killed outright it leaves what was downloaded, and the next call goes on from there.
  const result = runtime(['install', 'tensorflow'], { timeout: tensorflowMinutes * 60_000, killSignal: 'SIGKILL' });
  if (result.status !== 0) {
    const reason = result.error ? `it took more than ${tensorflowMinutes} minutes` : JSON.parse(result.stdout || '{}').error?.message;
    say(`TensorFlow was not installed, and the tests on it are left out: ${reason ?? result.stderr.trim().split('\n').at(-1)}`);
  }
  return runtimes;
}

function findChromium() {
  const places = [
    process.env.ROUNDOFF_CHROMIUM,
    '/usr/bin/chromium',
    '/usr/bin/chromium-browser',
    '/usr/bin/google-chrome',
    '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
    'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
  ];
  return places.find((place) => place && existsSync(place)) ?? null;
}
