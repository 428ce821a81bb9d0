// What tests need beside npm's packages: a Chromium to drive, and software Vulkan drivers that the webgpu backend is tested on (Chromium
// brings SwiftShader; Mesa's lavapipe also has half precision). They are looked for, installed with Debian's package tool where that is
// possible, and otherwise named with the exact command. And the TensorFlow runtime pack, installed by Roundoff's own command where the Python
// package index is in reach.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const aptCommand = 'apt-get update && apt-get install -y chromium libvulkan1';

/** Path of a Chromium or Chrome, installing Debian's where root may; null, with the command printed, where there is none. */
export function ensureChromium(say) {
  const found = findChromium();
  if (found) return found;
  if (mayInstall()) {
    say('installing Chromium and the Vulkan loader for the tests (apt-get)…');
    apt(['update']);
    apt(['install', '-y', 'chromium', 'libvulkan1']);
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

const lavapipeFiles = ['lvp_icd.x86_64.json', 'lvp_icd.aarch64.json', 'lvp_icd.json'];

/** Installs Mesa's lavapipe where root may; says why the tests run without half precision where it is not there. */
export function ensureLavapipe(say) {
  const found = () => lavapipeFiles.some((file) => existsSync(path.join('/usr/share/vulkan/icd.d', file)));
  if (process.platform !== 'linux' || found()) return;
  if (mayInstall()) {
    say("installing Mesa's software Vulkan driver for the tests (apt-get)…");
    installMesa();
  }
  if (!found()) say('no lavapipe (mesa-vulkan-drivers) found: kernels in half precision are not tested on a software GPU.');
}

/** Debian 12 has a Mesa with half precision in its backports alone; they are added for this one command, not to the machine's sources. */
function installMesa() {
  const debian12 = /VERSION_CODENAME=bookworm/.test(readFileSync('/etc/os-release', 'utf8'));
  if (!debian12) {
    apt(['update']);
    apt(['install', '-y', 'mesa-vulkan-drivers']);
    return;
  }
  const parts = mkdtempSync(path.join(tmpdir(), 'roundoff-apt-'));
  try {
    cpSync('/etc/apt/sources.list.d', parts, { recursive: true });
    writeFileSync(path.join(parts, 'roundoff-backports.list'), `deb ${debianMirror(parts)} bookworm-backports main\n`);
    const sources = ['-o', `Dir::Etc::SourceParts=${parts}`];
    apt([...sources, 'update']);
    apt([...sources, 'install', '-y', '-t', 'bookworm-backports', 'mesa-vulkan-drivers']);
  } finally {
    rmSync(parts, { recursive: true, force: true });
  }
}

/** The mirror that this machine's own sources name. */
function debianMirror(parts) {
  const files = ['/etc/apt/sources.list', ...readdirSync(parts).map((name) => path.join(parts, name))];
  const texts = files.filter((file) => existsSync(file)).map((file) => readFileSync(file, 'utf8'));
  const mirrors = texts.flatMap((text) =>
    [...text.matchAll(/^(?:URIs:|deb(?: \[[^\]]*\])?) *(\S+\/debian\/?)(?:\s|$)/gm)].map((match) => match[1]),
  );
  return mirrors[0] ?? 'http://deb.debian.org/debian';
}

function mayInstall() {
  return process.platform === 'linux' && process.getuid?.() === 0 && existsSync('/usr/bin/apt-get');
}

function apt(args) {
  spawnSync('apt-get', ['-qq', ...args], { stdio: ['ignore', 'ignore', 2], env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } });
}
