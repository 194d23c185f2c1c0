/* What participants' pages do besides showing: keep drafts, check lines before sending, guide
   lengths, copy, wait for replies. Everything works without it, only less kindly.
   Its words come from the page: #page-words (JSON), data attributes, templates. */
(() => {
  'use strict';

  const DEBOUNCE_MS = 600;
  const RETRY_MS = 2000; // doubles after each failure …
  const RETRY_AT_MOST_MS = 30000; // … up to this
  const SAVE_LIMIT_MS = 15000;
  const TOAST_MS = 1400;
  const RESEND_MS = 10000; // a form sent in vain can be sent again after this
  const COPY_DAYS = 7; // that answers the server never got stay on the device
  const ROOM_SHOWN_AT = 200; // characters left
  // With its space. Chinese counts characters.
  const LETTERS_PER_WORD = document.documentElement.lang.startsWith('zh') ? 1 : 6;
  const SOCKET_TRIES = 3;
  const TOKEN = 'csrfmiddlewaretoken';

  const words = JSON.parse(document.getElementById('page-words')?.textContent ?? '{}');
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
  const inWords = (n) => words.numbers?.[n] ?? String(n);

  /** A change of the same text would be spoken again. */
  function say(element, text) {
    if (element && element.textContent !== text) element.textContent = text;
  }

  // -- lines still to be rated --

  function hasOwnText(vas) {
    return Boolean(vas.querySelector('input[type="text"]')?.value.trim());
  }

  function openLines(form) {
    return all('.vas[data-state="unrated"]:not([data-start]):not([data-resting])', form).filter(
      (vas) => !('optional' in vas.dataset) || hasOwnText(vas),
    );
  }

  function count(form) {
    const status = form?.querySelector('[data-count]');
    if (!status || !form.querySelector('.vas:not([data-start])')) return;
    const n = openLines(form).length;
    const text = n === 1 ? status.dataset.one : status.dataset.many;
    say(status, n ? capital(text.replace('%n', inWords(n))) : words.all);
  }

  // -- drafts: every change goes to the server, and stays on the device until it is there --

  const toast = document.querySelector('.toast');
  let fade;
  function showSaved() {
    toast?.classList.add('on');
    clearTimeout(fade);
    fade = setTimeout(() => toast?.classList.remove('on'), TOAST_MS);
  }

  /** kind: offline, unsaved, unsent, or empty when all is well. */
  function showTrouble(kind) {
    const place = document.getElementById('trouble');
    if (!place || (place.dataset.kind ?? '') === kind) return;
    place.dataset.kind = kind;
    const text = kind && document.getElementById(`${kind}-words`)?.content.cloneNode(true);
    place.replaceChildren(...(text ? [text] : []));
  }

  const person = document.body.dataset.person ?? '';
  const storage = {
    keys() {
      try {
        return Object.keys(localStorage).filter((key) => key.startsWith('refract/'));
      } catch {
        return [];
      }
    },
    read(key) {
      try {
        return JSON.parse(localStorage.getItem(key));
      } catch {
        return null;
      }
    },
    write(key, copy) {
      try {
        localStorage.setItem(key, JSON.stringify(copy));
      } catch {
        // Full or forbidden: the server's draft has to do.
      }
    },
    remove(key) {
      try {
        localStorage.removeItem(key);
      } catch {
        // Forbidden, so nothing is there.
      }
    },
  };

  /** Fill a form with [name, value] pairs, as a browser would have sent them. */
  function fill(form, fields) {
    const given = new Map();
    for (const [name, value] of fields) given.set(name, [...(given.get(name) ?? []), value]);
    for (const control of form.elements) {
      // Hidden fields are the server's word, but for what a line noted.
      const isServers = control.type === 'hidden' && !control.name.endsWith('_record');
      if (!control.name || isServers || control.type === 'submit') continue;
      const values = given.get(control.name) ?? [];
      if (['checkbox', 'radio'].includes(control.type)) {
        control.checked = values.includes(control.value);
      } else if (values.length) {
        [control.value] = values;
      }
    }
    for (const shown of all('select[data-typeahead], [data-ranking]', form)) {
      shown.dispatchEvent(new Event('refract:restore'));
    }
    for (const vas of all('.vas', form)) {
      const { name } = vas.querySelector('input[type="range"]');
      vas.toggleAttribute('data-rated', given.has(`${name}_rated`));
      vas.dispatchEvent(new Event('vas:restore'));
    }
  }

  class Draft {
    constructor(form) {
      this.form = form;
      this.url = form.dataset.draftUrl;
      this.page = form.dataset.draft;
      this.key = `refract/${person}/${this.page}`;
      this.changes = 0;
      this.saved = 0;
      this.pause = RETRY_MS;
      this.isSent = false;
      this.isSaving = false;
      this.restore();
    }

    restore() {
      const copy = storage.read(this.key);
      if (!copy) return;
      fill(this.form, copy.fields);
      this.touch();
    }

    get isDirty() {
      return !this.isSent && this.saved < this.changes;
    }

    body() {
      const data = new FormData(this.form);
      data.append('page', this.page);
      return new URLSearchParams(data);
    }

    touch() {
      if (this.isSent) return;
      this.changes += 1;
      this.keep();
      this.schedule(DEBOUNCE_MS);
    }

    keep() {
      const fields = [...new FormData(this.form)].filter(([name]) => name !== TOKEN);
      storage.write(this.key, { at: Date.now(), isSent: this.isSent, fields });
    }

    schedule(ms) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.save(), ms);
    }

    async save() {
      clearTimeout(this.timer);
      if (!this.isDirty || this.isSaving) return;
      const changes = this.changes;
      this.isSaving = true;
      const trouble = await this.post();
      this.isSaving = false;
      if (this.isSent) return;
      showTrouble(trouble);
      if (trouble) {
        this.schedule(this.pause);
        this.pause = Math.min(2 * this.pause, RETRY_AT_MOST_MS);
        return;
      }
      this.pause = RETRY_MS;
      this.saved = changes;
      if (this.isDirty) {
        this.schedule(DEBOUNCE_MS);
        return;
      }
      storage.remove(this.key);
      showSaved();
    }

    /** Which trouble there was, if any. A redirect means that the server does not know us. */
    async post() {
      this.request = new AbortController();
      const limit = setTimeout(() => this.request.abort(), SAVE_LIMIT_MS);
      try {
        const options = { method: 'POST', body: this.body(), redirect: 'manual' };
        const reply = await fetch(this.url, { ...options, signal: this.request.signal });
        return reply.ok ? '' : 'unsaved';
      } catch {
        return 'offline';
      } finally {
        clearTimeout(limit);
      }
    }

    /** The page may be gone in a moment. Whether this arrives is not known, so the copy stays. */
    leave() {
      if (this.isDirty) navigator.sendBeacon(this.url, this.body());
    }

    /** The form itself is on its way: a late draft must not outlive it. */
    close() {
      clearTimeout(this.timer);
      this.request?.abort();
      if (this.isDirty) {
        this.isSent = true;
        this.keep(); // should the sending fail, the page is filled again
      }
      this.isSent = true;
    }
  }

  const drafts = new Map();
  const draftOf = (event) => drafts.get(event.target.form ?? event.target.closest?.('form'));

  /** Copies whose form was sent, or that nobody came back for, are not needed any more. */
  function sweep(current) {
    for (const key of storage.keys()) {
      const copy = storage.read(key);
      const isOld = !(copy?.at > Date.now() - COPY_DAYS * 24 * 3600 * 1000);
      const isDone = copy?.isSent && key.startsWith(`refract/${person}/`);
      if (isOld || (isDone && !current.includes(key))) storage.remove(key);
    }
  }

  function changed(event) {
    draftOf(event)?.touch();
    count(event.target.form ?? event.target.closest?.('form'));
  }

  function leaving() {
    drafts.forEach((draft) => draft.leave());
  }

  for (const type of ['input', 'change', 'vas:settle']) document.addEventListener(type, changed);
  window.addEventListener('pagehide', leaving);
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'hidden') leaving();
  });
  window.addEventListener('offline', () => {
    if (drafts.size) showTrouble('offline');
  });
  window.addEventListener('online', () => {
    const dirty = [...drafts.values()].filter((draft) => draft.isDirty);
    dirty.forEach((draft) => draft.save());
    if (!dirty.length) showTrouble('');
  });

  // -- sending --

  const sent = new Map(); // form -> timer that lets it be sent again

  /** Whether a line still needs a rating; it says so itself, and the first one gets the focus. */
  function asksForRatings(form) {
    const lines = openLines(form);
    lines.forEach((vas) => vas.dispatchEvent(new Event('vas:missing')));
    lines[0]?.querySelector('input[type="range"]').focus();
    count(form);
    return lines.length > 0;
  }

  document.addEventListener('submit', (event) => {
    const form = event.target;
    if (event.defaultPrevented) return;
    const draft = drafts.get(form);
    const isChecked = !event.submitter?.formNoValidate;
    if (sent.has(form) || (isChecked && asksForRatings(form))) {
      event.preventDefault();
    } else if (draft && !navigator.onLine) {
      event.preventDefault(); // the browser's error page would replace what was written
      showTrouble('unsent');
    } else {
      sent.set(form, setTimeout(() => sent.delete(form), RESEND_MS));
      draft?.close();
    }
  });
  window.addEventListener('pageshow', (event) => {
    if (event.persisted) sent.clear();
  });

  // -- lengths --

  function described(control, selector) {
    const ids = (control.getAttribute('aria-describedby') ?? '').split(/\s+/);
    return ids.map((id) => document.getElementById(id)).find((found) => found?.matches(selector));
  }

  function countSentences(text) {
    return text.split(/[.!?؟。！？]+/).filter((part) => /[\p{L}\p{N}]/u.test(part)).length;
  }

  function guideSentences(area) {
    const guide = described(area, '.length');
    if (!guide) return;
    const [least, most] = area.dataset.sentences.split(',').map(Number);
    const [ticks, text] = guide.children;
    while (ticks.children.length < most) ticks.append(document.createElement('i'));
    const n = countSentences(area.value);
    [...ticks.children].forEach((tick, i) => tick.classList.toggle('on', i < n));
    const { none, one, some, enough } = guide.dataset;
    const form = n >= least ? enough : { 0: none, 1: one }[n] ?? some;
    const numbers = { '%least': inWords(least), '%most': inWords(most), '%n': inWords(n) };
    say(text, capital(form.replace(/%least|%most|%n/g, (name) => numbers[name])));
    guide.hidden = false;
  }

  function newHint(area, name) {
    const hint = document.createElement('p');
    hint.className = 'hint';
    hint.id = `${area.id}-${name}`;
    area.after(hint);
    const ids = area.getAttribute('aria-describedby');
    area.setAttribute('aria-describedby', ids ? `${ids} ${hint.id}` : hint.id);
    return hint;
  }

  /** Room in words, in tens and fives, so that it is not a countdown. */
  function guideRoom(area) {
    const left = area.maxLength - area.value.length;
    const known = described(area, '[id$="-room"]');
    if (left > ROOM_SHOWN_AT && !known) return;
    const hint = known ?? newHint(area, 'room');
    hint.setAttribute('role', 'status');
    const n = Math.floor(left / LETTERS_PER_WORD);
    const about = n >= 10 ? 10 * Math.floor(n / 10) : 5;
    const text = n < 5 ? words.full : (area.dataset.room ?? words.room).replace('%n', about);
    say(hint, left > ROOM_SHOWN_AT ? '' : text);
  }

  function guide(area) {
    if (!area.matches('textarea')) return;
    if (area.dataset.sentences) guideSentences(area);
    if (area.maxLength > 0) guideRoom(area);
  }

  document.addEventListener('input', (event) => {
    guide(event.target);
    const option = document.getElementById(event.target.dataset.otherFor ?? '');
    if (option && !option.checked && event.target.value.trim()) {
      option.checked = true;
      option.dispatchEvent(new Event('change', { bubbles: true }));
    }
  });

  // -- pasting into fields for one's own words --

  const rule = document.body.dataset.paste;
  let own = ''; // what was last copied out of such a field: moving one's own words is no paste
  let dragged; // the field that a drag began in

  function wordsOf(transfer) {
    return (transfer?.getData('text') ?? '').replace(/\r\n?/g, '\n');
  }

  function warn(field) {
    const text = rule === 'block' ? words.pasteBlocked : words.pasteDiscouraged;
    say(document.getElementById(`${field.id}-paste`) ?? newHint(field, 'paste'), text);
    const spoken = document.getElementById('spoken');
    say(spoken, '');
    requestAnimationFrame(() => say(spoken, text)); // again each time
  }

  function pasted(event) {
    const field = event.target.closest?.('[data-own-words]');
    const text = wordsOf(event.clipboardData ?? event.dataTransfer);
    const isOwn = event.type === 'drop' ? field === dragged : text === own;
    if (!field || !text || isOwn) return;
    const isBlocked = rule === 'block';
    if (isBlocked) event.preventDefault();
    if (isBlocked || rule === 'discourage') warn(field);
    field.dispatchEvent(new CustomEvent('words:paste', { bubbles: true, detail: { isBlocked } }));
  }

  function copied({ target }) {
    if (target.matches?.('[data-own-words]')) {
      own = target.value.slice(target.selectionStart, target.selectionEnd);
    }
  }

  for (const type of ['paste', 'drop']) document.addEventListener(type, pasted);
  for (const type of ['copy', 'cut']) document.addEventListener(type, copied);
  document.addEventListener('dragstart', ({ target }) => {
    dragged = target.closest?.('[data-own-words]');
  });

  // -- copying --

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch { // a plain http address has no clipboard
      const area = document.createElement('textarea');
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand('copy');
      area.remove();
    }
  }

  document.addEventListener('click', async (event) => {
    const button = event.target.closest('[data-copy]');
    if (!button || button.dataset.label) return;
    await copy(button.dataset.copy);
    button.focus();
    button.dataset.label = button.textContent;
    button.textContent = button.dataset.copied;
    say(document.getElementById('spoken'), button.dataset.copied);
    setTimeout(() => {
      button.textContent = button.dataset.label;
      delete button.dataset.label;
      say(document.getElementById('spoken'), '');
    }, 2000);
  });

  // -- waiting for the replies --

  function listen(waiting, tries = 0) {
    const scheme = window.location.protocol === 'https:' ? 'wss:' : 'ws:';
    const socket = new WebSocket(`${scheme}//${window.location.host}${waiting.dataset.socket}`);
    let isDone = false;
    socket.addEventListener('message', () => {
      isDone = true;
      window.htmx?.trigger(waiting, 'settled');
    });
    socket.addEventListener('close', () => {
      if (isDone || !waiting.isConnected || tries >= SOCKET_TRIES) return; // polling goes on
      setTimeout(() => waiting.isConnected && listen(waiting, tries + 1), 1000 * 2 ** tries);
    });
  }

  function showWaited(waiting) {
    const bar = waiting.querySelector('progress');
    const before = Number(bar.value);
    const most = Number(waiting.dataset.max);
    const start = performance.now();
    const text = waiting.querySelector('#elapsed');
    const tick = () => {
      if (!waiting.isConnected) return clearInterval(timer);
      const waited = Math.min(most, Math.floor(before + (performance.now() - start) / 1000));
      bar.value = waited;
      const fives = 5 * Math.floor(waited / 5);
      if (fives) say(text, waiting.dataset.words.replace('%n', fives));
      return undefined;
    };
    const timer = setInterval(tick, 1000);
    tick();
  }

  function showLost(isLost) {
    const notice = document.getElementById('lost');
    if (notice) notice.hidden = !isLost;
  }

  const waiting = document.getElementById('waiting');
  if (waiting) {
    listen(waiting);
    showWaited(waiting);
    showLost(!navigator.onLine);
    window.addEventListener('offline', () => showLost(true));
    window.addEventListener('online', () => window.htmx?.trigger(waiting, 'settled'));
    document.addEventListener('htmx:sendError', () => showLost(true));
    document.addEventListener('htmx:afterRequest', ({ detail }) => {
      if (detail.xhr?.status) showLost(detail.xhr.status >= 500);
    });
  }

  /** After a swap, reading goes on at the new heading, and what arrived is spoken. */
  document.addEventListener('htmx:afterSettle', () => {
    const news = document.querySelector('main .sr[role="status"]');
    say(document.getElementById('spoken'), news?.textContent ?? '');
    news?.remove();
    document.getElementById('heading')?.focus({ preventScroll: true });
  });

  // -- after a refusal --

  /** The first thing to look at again has the focus. */
  function showFirstWrong() {
    const wrong = document.querySelector('main [id$="-error"], main .error');
    const field = wrong && document.querySelector(`[aria-describedby~="${CSS.escape(wrong.id)}"]`);
    const controls = 'input:not([type="hidden"]):not(.vas-confirm input), textarea, select, button';
    const candidates = field?.matches('fieldset') ? all(controls, field) : [field];
    candidates.find((one) => one?.checkVisibility() && !one.disabled)?.focus();
  }

  document.addEventListener('DOMContentLoaded', showFirstWrong); // every script has run by then

  // -- beginning, and again after each swap --

  function wake() {
    for (const form of all('form')) {
      if (form.dataset.draft && !drafts.has(form)) drafts.set(form, new Draft(form));
      count(form);
    }
    all('textarea').forEach(guide);
  }

  wake();
  sweep([...drafts.values()].map((draft) => draft.key));
  document.addEventListener('htmx:load', wake);
})();
