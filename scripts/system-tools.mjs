// What tests need from the operating system: a Chromium to drive, and a software Vulkan driver for the webgpu backend. Each is looked
// for, installed with Debian's package tool where that is possible, and otherwise named with the exact command.
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
    `no Chromium found: the end-to-end tests are skipped. Install one (Debian: sudo sh -c "${aptCommand}") or set ROUNDOFF_CHROMIUM to its path.`,
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

/** Environment that lets Dawn find a software Vulkan driver: Mesa's lavapipe, or the SwiftShader that ships with Chromium. */
export function softwareVulkan(say) {
  if (process.env.VK_DRIVER_FILES || process.env.VK_ICD_FILENAMES || process.platform !== 'linux') return {};
  const lavapipe = '/usr/share/vulkan/icd.d/lvp_icd.x86_64.json';
  if (existsSync(lavapipe)) return { VK_DRIVER_FILES: lavapipe };
  const chromium = '/usr/lib/chromium';
  const swiftShader = path.join(chromium, 'vk_swiftshader_icd.json');
  if (existsSync(swiftShader)) {
    const libraries = [process.env.LD_LIBRARY_PATH, chromium].filter(Boolean).join(path.delimiter);
    return { VK_DRIVER_FILES: swiftShader, LD_LIBRARY_PATH: libraries };
  }
  say(`no software Vulkan driver found: webgpu tests are skipped. Debian: sudo sh -c "${aptCommand}"`);
  return {};
}
