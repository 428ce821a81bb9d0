/** The screens and their addresses. Everything below `/project` needs an open project. */
import { createRouter, createWebHashHistory, type Router } from 'vue-router';
import { useProjectStore } from './stores/project.ts';

/** Create it after the client has started: both read the address's fragment. */
export function createAppRouter(): Router {
  const router = createRouter({
    history: createWebHashHistory(),
    routes: [
      { path: '/', name: 'start', component: () => import('./views/StartView.vue'), meta: { title: 'Start' } },
      {
        path: '/project',
        component: () => import('./views/ProjectShell.vue'),
        meta: { needsProject: true },
        redirect: { name: 'studies' },
        children: [
          { path: 'studies', name: 'studies', component: () => import('./views/StudiesView.vue'), meta: { title: 'Studies' } },
          { path: 'studies/new/:step?', name: 'wizard', component: () => import('./views/WizardView.vue'), meta: { title: 'New study' } },
          { path: 'runs', name: 'runs', component: () => import('./views/RunsView.vue'), meta: { title: 'Runs' } },
          { path: 'runs/:runId', name: 'run', component: () => import('./views/RunView.vue'), meta: { title: 'Run' } },
          {
            path: 'comparison/:studyId?',
            name: 'comparison',
            component: () => import('./views/ComparisonView.vue'),
            meta: { title: 'Comparison' },
          },
          { path: 'samples/:studyId?', name: 'samples', component: () => import('./views/SamplesView.vue'), meta: { title: 'Samples' } },
          { path: 'models', name: 'models', component: () => import('./views/ModelsView.vue'), meta: { title: 'Models' } },
        ],
      },
      { path: '/:unknown(.*)*', redirect: '/' },
    ],
  });
  router.beforeEach(async (to) => {
    const project = useProjectStore();
    if (!project.known) await project.load().catch(() => undefined);
    return to.matched.some((record) => record.meta.needsProject) && !project.current ? { name: 'start' } : true;
  });
  router.afterEach((to) => {
    const name = useProjectStore().current?.name;
    document.title = [to.meta.title, name, 'Roundoff'].filter(Boolean).join(' · ');
  });
  return router;
}
