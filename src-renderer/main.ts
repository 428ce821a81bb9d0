/** Starts the window: client first (it takes the key out of the address), then stores, router and the page. */
import './zod-without-eval.ts';
import { createPinia } from 'pinia';
import { createApp } from 'vue';
import App from './App.vue';
import { startClient } from './api/index.ts';
import { installElementPlus } from './element-plus.ts';
import { createAppRouter } from './router.ts';
import { useConnectionStore } from './stores/connection.ts';
import { startEvents } from './stores/events.ts';
import './styles/tokens.css';
import './styles/base.css';
import './styles/element.css';

startClient(window);
const app = createApp(App);
app.use(createPinia());
useConnectionStore().start();
startEvents();
installElementPlus(app);
app.use(createAppRouter());
app.mount('#app');
