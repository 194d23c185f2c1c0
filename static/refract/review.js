/* Reviewing by keyboard: see the page's list of keys. Every key presses what the page has as a link
   or a button anyway, so nothing here is needed. */
(() => {
  'use strict';

  const root = document.querySelector('.review');
  if (!root) return;
  const isQueue = root.dataset.page === 'queue';
  const links = [...root.querySelectorAll('[data-open]')];
  const reason = document.getElementById('reason');
  let wanted = null;

  const press = (selector) => root.querySelector(selector)?.click();
  const button = (decision) => root.querySelector(`button[value="${decision}"]`);
  const current = () => links.indexOf(document.activeElement.closest('tr')?.querySelector('[data-open]'));

  function say(text) {
    document.getElementById('spoken').textContent = text;
  }

  function go(step) {
    if (!isQueue) return press(step > 0 ? '[data-after]' : '[data-before]');
    const at = current();
    const next = at < 0 ? (step > 0 ? 0 : links.length - 1) : at + step;
    links[Math.min(Math.max(next, 0), links.length - 1)]?.focus();
  }

  /* On the queue a reason is written on the submission's own page. */
  function decide(decision) {
    if (isQueue) {
      const row = links[Math.max(current(), 0)]?.closest('tr');
      if (decision === 'approve') return row?.querySelector('[data-approve]')?.click();
      const link = row?.querySelector('[data-open]');
      if (link) location.assign(`${link.href}#${decision}`);
      return;
    }
    const to = button(decision);
    if (!to) return;
    const isSaid = decision === 'approve' || reason.value.trim() || document.getElementById('common').value;
    if (isSaid) return to.click();
    ask(decision);
  }

  function ask(decision) {
    wanted = decision;
    for (const each of root.querySelectorAll('.decide button')) delete each.dataset.wanted;
    const to = button(decision);
    if (!to || !reason) return;
    to.dataset.wanted = '';
    say(to.textContent);
    reason.focus();
  }

  const keys = {
    j: () => go(1),
    k: () => go(-1),
    a: () => decide('approve'),
    r: () => decide('return'),
    x: () => decide('reject'),
    s: () => isQueue || decide('second'),
    '?': () => press('#keys summary'),
  };

  document.addEventListener('keydown', (event) => {
    if (event.target === reason && event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      if (wanted) button(wanted).click();
      return;
    }
    if (event.target === reason && event.key === 'Escape') return reason.blur();
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.target.closest('input, select, textarea, [contenteditable]')) return;
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  const intent = location.hash.slice(1);
  if (!isQueue && ['return', 'reject'].includes(intent)) ask(intent);
})();
