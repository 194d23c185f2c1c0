/* Coding and marking by keyboard: see the page's list of keys. Every key presses what the page has
   as a link or a button anyway; without this script passages are typed or copied. */
(() => {
  'use strict';

  const root = document.querySelector('.coding');
  if (!root) return;
  const passages = document.getElementById('passages');
  const text = document.getElementById('text');
  const mark = root.querySelector('[data-mark]');
  const press = (selector) => root.querySelector(selector)?.click();

  /* What is selected within the text, as one line. */
  function selected() {
    const chosen = getSelection();
    if (!chosen.rangeCount || !text.contains(chosen.anchorNode) || !text.contains(chosen.focusNode)) return '';
    return chosen.toString().split(/\s+/).join(' ').trim();
  }

  function add() {
    const found = selected();
    const lines = passages.value.split('\n').filter((line) => line.trim());
    if (found && !lines.includes(found)) passages.value = [...lines, found].join('\n');
  }

  if (mark) {
    mark.hidden = false;
    mark.addEventListener('mousedown', (event) => event.preventDefault()); // keeps the selection
    mark.addEventListener('click', add);
  }

  document.addEventListener('keydown', (event) => {
    if (event.target === passages && event.key === 'Escape') return passages.blur();
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.target.closest('input:not([type="checkbox"]), select, textarea, [contenteditable]')) return;
    const key = event.key.toLowerCase();
    if (key === '?') press('#keys summary');
    else if (key === 'b') press('[data-before]');
    else if (key === 'j') press('[data-after]');
    else if (key === 'e' && passages) passages.focus();
    else if (/^[a-z0-9]$/.test(key) && root.querySelector(`[data-key="${key}"]`)) press(`[data-key="${key}"]`);
    else return;
    event.preventDefault();
  });
})();
