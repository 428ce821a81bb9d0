/** Copies text and says so for a moment. Falls back to a selection where the clipboard needs a permission, as in the desktop window. */
import { ref } from 'vue';

export function useCopy() {
  const copied = ref(false);
  async function copy(text: string): Promise<void> {
    const done = await navigator.clipboard.writeText(text).then(
      () => true,
      () => copySelection(text),
    );
    copied.value = done;
    setTimeout(() => {
      copied.value = false;
    }, 1500);
  }
  return { copied, copy };
}

function copySelection(text: string): boolean {
  const field = document.createElement('textarea');
  field.value = text;
  field.className = 'visually-hidden';
  document.body.append(field);
  field.select();
  const done = document.execCommand('copy');
  field.remove();
  return done;
}
