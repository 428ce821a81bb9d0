import { mkdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { vulkanEnvironment } from '../../../src-main/bench/gpu-check/vulkan-environment.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const folder = temporaryFolder('vulkan');
let number = 0;
let workDir = '';
beforeEach(() => {
  workDir = path.join(folder, `case-${number++}`);
  mkdirSync(workDir);
});

const places = (libraries: string[], more: { manifestFolders?: string[]; libraryFolders?: string[] } = {}) => ({
  ...{
    loads: (name: string) => libraries.includes(name),
    carried: path.join(folder, 'lib'),
    workDir,
    manifestFolders: [],
    libraryFolders: [],
  },
  ...more,
});

describe('the environment that Vulkan is found with', () => {
  it('is left alone where loader and driver are installed as usual', async () => {
    expect(await vulkanEnvironment(places(['libvulkan.so.1']), {})).toEqual({ variables: {}, notes: [] });
  });

  it('has the carried loader where the system has none, before what was set', async () => {
    const { variables, notes } = await vulkanEnvironment(places([]), { LD_LIBRARY_PATH: '/opt/lib' });
    expect(variables).toEqual({ LD_LIBRARY_PATH: `${workDir}:/opt/lib` });
    expect(readlinkSync(path.join(workDir, 'libvulkan.so.1'))).toBe(path.join(folder, 'lib', 'libvulkan.so.1'));
    expect(notes).toEqual(['The system has no Vulkan loader; the one carried along is used.']);
  });

  it('says what is missing where nothing is carried', async () => {
    const { notes } = await vulkanEnvironment({ ...places([]), carried: null }, {});
    expect(notes).toEqual(['No Vulkan loader libvulkan.so.1 was found; install libvulkan1.']);
  });

  it('names a manifest that lies where loaders do not look', async () => {
    writeFileSync(path.join(workDir, 'nvidia_icd.json'), '{}');
    const { variables } = await vulkanEnvironment(places(['libvulkan.so.1'], { manifestFolders: ['/nowhere', workDir] }), {});
    expect(variables).toEqual({ VK_DRIVER_FILES: path.join(workDir, 'nvidia_icd.json') });
  });

  it('writes a manifest for a driver that has none', async () => {
    const { variables } = await vulkanEnvironment(places(['libvulkan.so.1', 'libEGL_nvidia.so.0']), {});
    const manifest = JSON.parse(readFileSync(variables.VK_DRIVER_FILES!, 'utf8')) as { ICD: { library_path: string } };
    expect(manifest.ICD.library_path).toBe('libEGL_nvidia.so.0');
  });

  it('finds a driver outside the linker’s folders, and lets it find its own parts there', async () => {
    const libraries = path.join(workDir, 'lib64');
    mkdirSync(libraries);
    writeFileSync(path.join(libraries, 'libGLX_nvidia.so.0'), '');
    const { variables } = await vulkanEnvironment(places(['libvulkan.so.1'], { libraryFolders: [libraries] }), {});
    expect(variables.LD_LIBRARY_PATH).toBe(libraries);
    expect(readFileSync(variables.VK_DRIVER_FILES!, 'utf8')).toContain(path.join(libraries, 'libGLX_nvidia.so.0'));
  });

  it('keeps a driver that the user has named', async () => {
    const { variables } = await vulkanEnvironment(places(['libvulkan.so.1', 'libGLX_nvidia.so.0']), { VK_DRIVER_FILES: '/my.json' });
    expect(variables).toEqual({});
  });
});
