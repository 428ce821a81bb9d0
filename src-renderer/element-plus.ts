/** The Element Plus components in use (parts such as options and form items come with their parent), and their style sheet. */
import {
  ElAlert,
  ElButton,
  ElCheckbox,
  ElCollapse,
  ElConfigProvider,
  ElDialog,
  ElDropdown,
  ElForm,
  ElInput,
  ElInputNumber,
  ElPagination,
  ElPopover,
  ElProgress,
  ElRadio,
  ElSegmented,
  ElSelect,
  ElSkeleton,
  ElSwitch,
  ElTabs,
} from 'element-plus';
import type { App } from 'vue';
import 'element-plus/dist/index.css';
import 'element-plus/theme-chalk/dark/css-vars.css';

const components = [
  ElAlert,
  ElButton,
  ElCheckbox,
  ElCollapse,
  ElConfigProvider,
  ElDialog,
  ElDropdown,
  ElForm,
  ElInput,
  ElInputNumber,
  ElPagination,
  ElPopover,
  ElProgress,
  ElRadio,
  ElSegmented,
  ElSelect,
  ElSkeleton,
  ElSwitch,
  ElTabs,
];

export function installElementPlus(app: App): void {
  for (const component of components) app.use(component);
}
