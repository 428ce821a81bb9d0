/** Import directions: the folder says in which process code may run, and imports go one way (docs/architecture.md). */
const only = (name, from, allowed, comment) => ({
  name,
  comment,
  severity: 'error',
  from: { path: from },
  to: { path: '^src-', pathNot: allowed },
});

module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } } },
    { name: 'no-unresolved', severity: 'error', from: {}, to: { couldNotResolve: true, pathNot: '^(electron|#contract)' } },
    only('contract-imports-nothing', '^src-preload/contract/', ['^src-preload/contract/'], 'the contract is shared by every process'),
    only('preload', '^src-preload/index', ['^src-preload/'], 'the preload script knows the contract alone'),
    only('engine', '^src-main/engine/', ['^src-main/engine/', '^src-preload/contract/'], 'the engine is pure compute'),
    only('worker', '^src-main/worker/', ['^src-main/(worker|engine)/', '^src-preload/contract/'], 'worker → engine → contract'),
    only('project', '^src-main/project/', ['^src-main/project/', '^src-preload/contract/'], 'project → contract'),
    only('reports', '^src-main/reports/', ['^src-main/(reports|engine/statistics)/', '^src-preload/contract/'], 'reports are pure functions of plain data'),
    only('runs', '^src-main/runs/', ['^src-main/(runs|project|reports|engine)/', '^src-preload/contract/'], 'runs → project → contract; the worker is a path'),
    only('runtime', '^src-main/runtime/', ['^src-main/(runtime|engine)/', '^src-preload/contract/'], 'runtime packs serve the engine'),
    only('findings', '^src-main/findings/', ['^src-main/(findings|project|engine/statistics)/', '^src-preload/contract/'], 'findings read what a study recorded'),
    only('ipc', '^src-main/ipc/', ['^src-main/(ipc|runs|project|reports|runtime|engine)/', '^src-preload/contract/'], 'ipc → runs → project'),
    only('app', '^src-main/app/', ['^src-main/(app|ipc)/', '^src-preload/contract/'], 'app → ipc'),
    only('cli', '^src-main/cli/', ['^src-main/(cli|findings|ipc|runs|project|reports|runtime|engine|bench)/', '^src-preload/contract/'], 'the command line enters where ipc does'),
    only('bench', '^src-main/bench/', ['^src-main/(bench|engine)/', '^src-preload/contract/'], 'bench measures the engine'),
    only('renderer', '^src-renderer/', ['^src-renderer/', '^src-preload/contract/'], 'the renderer sees only the contract'),
    {
      name: 'engine-without-shell',
      comment: 'the engine never imports Electron, SQLite or Vue',
      severity: 'error',
      from: { path: '^src-main/(engine|worker)/' },
      to: { path: '^(electron|better-sqlite3|vue|pinia|node_modules/(electron|better-sqlite3|vue|pinia))' },
    },
    {
      name: 'sqlite-in-project-alone',
      severity: 'error',
      from: { path: '^src-', pathNot: '^src-main/(project|runs|ipc)/' },
      to: { path: 'node_modules/better-sqlite3' },
    },
    {
      name: 'window-roundoff-in-api-alone',
      comment: 'stores → api → contract; views and components never call the api themselves',
      severity: 'error',
      from: { path: '^src-renderer/(views|components|charts)/' },
      to: { path: '^src-renderer/api/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: ['src-main/engine/.*/kernels/.*\\.as\\.ts$', '\\.wasm$'] },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.base.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'], extensions: ['.ts', '.js', '.mjs', '.vue', '.json'] },
  },
};
