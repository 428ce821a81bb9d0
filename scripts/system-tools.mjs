// What tests need from the operating system: a Chromium to drive, which also brings the software Vulkan driver that the webgpu backend
// is tested on. It is looked for, installed with Debian's package tool where that is possible, and otherwise named with the exact command.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

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
