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
  // Waiting for replies: how often to ask where no socket tells, beside one (it may have died
  // unnoticed), and in a tab that nobody sees.
  const ASK_MS = 2000;
  const ASK_BESIDE_SOCKET_MS = 10000;
  const ASK_HIDDEN_MS = 30000;
  const RETRY_AFTER_AT_MOST_S = 60;
  const LISTEN_AFTER_MS = 400; // no model has answered yet, and the server may be busy asking them
  const REOPEN_MS = 1000; // a socket that was lost; doubles like RETRY_MS
  const TOKEN = 'csrfmiddlewaretoken';

  const words = JSON.parse(document.getElementById('page-words')?.textContent ?? '{}');
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
  const inWords = (n) => words.numbers?.[n] ?? String(n);
  /** Not everybody at the same moment, should a server have been away. */
  const spread = (ms) => ms * (0.75 + Math.random() / 2);
  const longer = (ms, times) => Math.min(ms * 2 ** times, Math.max(ms, RETRY_AT_MOST_MS));

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

  /** kind: offline, unsaved, unsent, unanswered, or empty when all is well.
      said: what the server says about it, in the place of the page's own words. */
  function showTrouble(kind, said = '') {
    const place = document.getElementById('trouble');
    if (!place || ((place.dataset.kind ?? '') === kind && !said)) return;
    place.dataset.kind = kind;
    const text = kind && document.getElementById(`${kind}-words`)?.content.cloneNode(true);
    if (said) text.querySelector('p').textContent = said;
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

    /** The form did not arrive. */
    reopen() {
      this.isSent = false;
      this.touch();
    }

    /** The server has what was sent, and shows it again if it was refused. */
    forget() {
      storage.remove(this.key);
    }

    /** The form was taken off the page. */
    retire() {
      clearTimeout(this.timer);
      this.leave();
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

  const sent = new Map(); // form -> timer that lets it be sent again, where the page itself goes

  /** Whether a line still needs a rating; it says so itself, and the first one gets the focus. */
  function asksForRatings(form) {
    const lines = openLines(form);
    lines.forEach((vas) => vas.dispatchEvent(new Event('vas:missing')));
    lines[0]?.querySelector('input[type="range"]').focus();
    count(form);
    return lines.length > 0;
  }

  function mayBeSent(form, submitter) {
    if (sent.has(form)) return false;
    if (!submitter?.formNoValidate && asksForRatings(form)) return false;
    if (drafts.has(form) && !navigator.onLine) {
      showTrouble('unsent'); // the browser's error page would replace what was written
      return false;
    }
    return true;
  }

  document.addEventListener('submit', (event) => {
    const form = event.target;
    if (event.defaultPrevented) return; // htmx sends it
    if (!mayBeSent(form, event.submitter)) {
      event.preventDefault();
      return;
    }
    sent.set(form, setTimeout(() => sent.delete(form), RESEND_MS));
    drafts.get(form)?.close();
  });

  // -- sending without leaving the page: the answer is what the page shows next --

  document.addEventListener('htmx:confirm', (event) => {
    const form = event.target;
    if (!form.matches('form')) return;
    if (!mayBeSent(form, event.detail.triggeringEvent?.submitter)) {
      event.preventDefault();
      return;
    }
    sent.set(form, 0);
    drafts.get(form)?.close();
    showTrouble('');
  });

  const isTaken = (status) => (status >= 200 && status < 400) || status === 422;

  document.addEventListener('htmx:afterRequest', ({ detail: { elt: form, xhr } }) => {
    if (!form.matches('form')) return;
    if (isTaken(xhr.status)) {
      drafts.get(form)?.forget();
      return;
    }
    sent.delete(form);
    drafts.get(form)?.reopen();
    const said = xhr.status >= 400 && xhr.status < 500 ? headingOf(xhr.responseText) : '';
    showTrouble(navigator.onLine ? 'unanswered' : 'unsent', said);
  });

  /** What a whole page says, of which only the message is wanted. */
  function headingOf(html) {
    const page = new DOMParser().parseFromString(html, 'text/html');
    return page.querySelector('main h1')?.textContent ?? '';
  }

  /** A whole page is no fragment: whoever is a stranger now, say, is led to the front door. */
  document.addEventListener('htmx:beforeSwap', ({ detail }) => {
    if (!detail.shouldSwap || !/^\s*<!doctype/i.test(detail.serverResponse)) return;
    detail.shouldSwap = false;
    window.location.assign(detail.xhr.responseURL);
  });

  /** How the replies stand, which is recorded with the ratings. */
  document.addEventListener('formdata', ({ target, formData }) => {
    const cards = all('.replies > .reply', target);
    if (!cards.length) return;
    const columns = new Set(cards.map((card) => Math.round(card.getBoundingClientRect().left)));
    formData.set('layout', [columns.size, window.innerWidth, window.innerHeight].join());
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

  // -- waiting for the replies: a socket tells; where there is none, ask now and then --

  class Wait {
    constructor(place) {
      this.place = place;
      this.failures = 0; // requests in a row
      this.tries = 0; // at a socket
      this.isAsking = false;
      this.isTold = false; // while asking
      this.answeredAt = performance.now();
      this.leastMs = 0; // since then, that the server asks for
      this.showWaited();
    }

    begin() {
      this.isBegun = true;
      this.showLost();
      this.reopening = setTimeout(() => this.listen(), spread(LISTEN_AFTER_MS));
      this.schedule();
    }

    get isOver() {
      return !this.place.isConnected;
    }

    end() {
      clearTimeout(this.timer);
      clearTimeout(this.reopening);
      clearInterval(this.ticking);
      this.socket?.close();
    }

    // The socket says one word: the turn has settled.

    listen() {
      clearTimeout(this.reopening);
      if (this.isOver) return;
      const scheme = window.location.protocol === 'https:' ? 'wss:' : 'ws:';
      this.socket?.close();
      const socket = new WebSocket(`${scheme}//${window.location.host}${this.place.dataset.socket}`);
      this.socket = socket;
      socket.addEventListener('open', () => this.schedule());
      socket.addEventListener('message', () => this.ask());
      socket.addEventListener('close', () => {
        if (this.isOver || socket !== this.socket) return;
        this.schedule();
        const pause = spread(longer(REOPEN_MS, this.tries));
        this.tries += 1;
        this.reopening = setTimeout(() => this.listen(), pause);
      });
    }

    get hasSocket() {
      return this.socket?.readyState === WebSocket.OPEN;
    }

    // Asking. One request at a time, so that its answer is shown once.

    ask() {
      clearTimeout(this.timer);
      if (this.isOver) return;
      this.isTold = this.isAsking;
      if (this.isAsking) return;
      this.isAsking = true;
      this.place.dispatchEvent(new Event('ask'));
    }

    /** Ask when it is time since the last answer, which a socket that comes or goes may change. */
    schedule() {
      clearTimeout(this.timer);
      if (this.isAsking) return; // its answer decides
      const beside = this.hasSocket ? ASK_BESIDE_SOCKET_MS : ASK_MS;
      const usual = document.hidden ? ASK_HIDDEN_MS : beside;
      const pause = Math.max(longer(usual, this.failures), this.leastMs);
      const left = this.answeredAt + pause - performance.now();
      this.timer = setTimeout(() => this.ask(), Math.max(left, 0) + Math.random() * ASK_MS / 2);
    }

    answered(xhr) {
      this.isAsking = false;
      this.answeredAt = performance.now();
      if (this.isOver) return;
      const leastS = Number(xhr.status && xhr.getResponseHeader('Retry-After')) || 0;
      this.leastMs = 1000 * Math.min(leastS, RETRY_AFTER_AT_MOST_S);
      this.failures = isTaken(xhr.status) ? 0 : this.failures + 1;
      this.showLost();
      if (this.isTold && !this.failures) this.ask();
      else this.schedule();
    }

    /** The connection is back. */
    resume() {
      this.showLost();
      if (!this.hasSocket) this.listen();
      this.ask();
    }

    /** The person is back, perhaps for the tenth time in a second. */
    look() {
      if (performance.now() - this.answeredAt >= ASK_MS) this.resume();
      else this.schedule();
    }

    // What the person sees meanwhile.

    showLost() {
      const isOffline = !navigator.onLine;
      const [lost, away] = ['lost', 'away'].map((id) => document.getElementById(id));
      if (lost) lost.hidden = !isOffline;
      if (away) away.hidden = isOffline || !this.failures;
    }

    showWaited() {
      const bar = this.place.querySelector('progress');
      const before = Number(bar.value);
      const start = performance.now();
      const tick = () => {
        const waited = Math.floor(before + (performance.now() - start) / 1000);
        bar.value = Math.min(waited, bar.max);
        say(this.place.querySelector('#elapsed'), this.told(waited));
      };
      this.ticking = setInterval(tick, 1000);
      tick();
    }

    told(waited) {
      const { words, late, max } = this.place.dataset;
      if (waited > Number(max) + 2) return late.replace('%n', max);
      const fives = 5 * Math.floor(Math.min(waited, max) / 5);
      return fives ? words.replace('%n', fives) : '';
    }
  }

  let wait = null;

  function awaitReplies() {
    const place = document.getElementById('waiting');
    if (wait?.place !== place) {
      wait?.end();
      wait = place && new Wait(place);
    }
    if (wait && !wait.isBegun && window.htmx) wait.begin();
  }

  document.addEventListener('htmx:afterRequest', ({ detail }) => {
    if (detail.elt === wait?.place) wait.answered(detail.xhr);
  });
  window.addEventListener('online', () => wait?.resume());
  window.addEventListener('offline', () => wait?.showLost());
  window.addEventListener('pageshow', ({ persisted }) => {
    if (persisted) wait?.resume();
  });
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) wait?.look();
  });
  window.addEventListener('load', () => {
    // htmx did not arrive: look anew, as a page without scripts does.
    if (wait && !window.htmx) setTimeout(() => window.location.reload(), RETRY_MS * 2);
  });

  /** After a swap, reading goes on at the new heading or at what was refused. */
  document.addEventListener('htmx:afterSettle', ({ target, detail }) => {
    if (!target.closest('main')) return; // the header's news
    const news = document.querySelector('main .sr[role="status"]');
    say(document.getElementById('spoken'), news?.textContent ?? '');
    news?.remove();
    if (detail.xhr.status === 422) {
      showFirstWrong();
      drafts.forEach((draft) => draft.touch()); // what was sent had left the drafts
    } else {
      document.getElementById('heading')?.focus({ preventScroll: true });
    }
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
    for (const [form, draft] of drafts) {
      if (!form.isConnected) {
        draft.retire();
        drafts.delete(form);
        sent.delete(form);
      }
    }
    for (const form of all('form')) {
      if (form.dataset.draft && !drafts.has(form)) drafts.set(form, new Draft(form));
      count(form);
    }
    all('textarea').forEach(guide);
    awaitReplies();
    sweep([...drafts.values()].map((draft) => draft.key));
  }

  wake();
  document.addEventListener('htmx:load', wake);
})();
