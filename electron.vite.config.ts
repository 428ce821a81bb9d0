import { resolve } from 'node:path';
import vue from '@vitejs/plugin-vue';
import { defineConfig } from 'electron-vite';

const at = (file: string) => resolve(import.meta.dirname, file);

export default defineConfig({
  main: {
    build: {
      outDir: 'out/main',
      externalizeDeps: true,
      sourcemap: true,
      rolldownOptions: {
        input: {
          electron: at('src-main/app/electron.ts'),
          browser: at('src-main/app/browser.ts'),
          worker: at('src-main/worker/index.ts'),
          cli: at('src-main/cli/index.ts'),
          'algebra-thread': at('src-main/engine/verifiers/maths/algebra-thread.ts'),
          'decode-lane': at('src-main/engine/rollouts/cpu/lane-thread.ts'),
          'sandbox-child': at('src-main/engine/sandbox/child/index.ts'),
        },
      },
    },
  },
  preload: {
    build: {
      outDir: 'out/preload',
      externalizeDeps: false,
      rolldownOptions: { input: { index: at('src-preload/index.ts') }, output: { format: 'cjs', entryFileNames: '[name].cjs' } },
    },
  },
  renderer: {
    root: at('src-renderer'),
    plugins: [vue()],
    build: {
      outDir: at('out/renderer'),
      minify: true,
      chunkSizeWarningLimit: 2000,
      rolldownOptions: { input: { index: at('src-renderer/index.html') } },
    },
  },
});
