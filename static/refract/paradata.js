/* Notes how a survey page is used. Loaded only where the study's protocol allows it, and the
   consent text says so. The notes go with the page's form as the field `paradata`, in drafts too:
     load            a random name of this load of the page
     visible_ms      how long the page was in front: its tab visible and its window not left
     focus_losses    how often it was left for another tab or window; leaving the page is none
     viewport_width, viewport_height    of the window at last, in CSS pixels
     input           touch, mouse or keyboard: what most controls were worked with (a pen touches;
                     typing a text is no sign of either); null before the first
     questions       by code:
       visible_ms    the page's time while this question was the one looked at, which is the last
                     that was typed in, focused, pointed at, or scrolled to: the nearest to a line
                     that goes from the window's top to its bottom as the page is scrolled
       changes       how often an answer was given or changed; of texts, when the field is left;
                     of lines, when the mark comes to rest
       pastes        how often something was pasted or dropped into its texts, also if in vain
       pasted_share  how much of what its texts hold now was pasted, 0 to 1; null without a text
   Questions' times add up to the page's. It needs page.js, which tells of pastes. */
(() => {
  'use strict';

  const form = document.querySelector('form[data-paradata]');
  if (!form) return;
  const { questions, pasted } = JSON.parse(form.dataset.paradata);
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  const load = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  const KINDS = { touch: 'touch', pen: 'touch', mouse: 'mouse' };

  // -- which part of the page is whose --

  const isOf = (name, code) => name === code || name.startsWith(`${code}_`);

  /** The largest part of the form that holds controls of this question only. */
  function areaOf(code) {
    const controls = [...form.elements].filter((control) => control.name);
    const others = controls.filter((control) => !isOf(control.name, code));
    let area = controls.find((control) => isOf(control.name, code));
    while (area && area.parentElement !== form
      && !others.some((other) => area.parentElement.contains(other))) area = area.parentElement;
    return area;
  }

  /** A text in one's own words, and of each of its characters how far it was pasted. */
  class OwnWords {
    constructor(field, share) {
      this.field = field;
      this.value = field.value;
      this.origin = Array(this.value.length).fill(share);
      this.isPasting = false;
    }

    changed({ inputType }) {
      const [before, now] = [this.value, this.field.value];
      const shorter = Math.min(before.length, now.length);
      let head = 0;
      while (head < shorter && before[head] === now[head]) head += 1;
      let tail = 0;
      while (tail < shorter - head && before.at(-1 - tail) === now.at(-1 - tail)) tail += 1;
      const isPasted = this.isPasting && /^insertFrom(Paste|Drop)$/.test(inputType);
      const added = Array(now.length - head - tail).fill(isPasted ? 1 : 0);
      const kept = [this.origin.slice(0, head), this.origin.slice(before.length - tail)];
      this.origin = [...kept[0], ...added, ...kept[1]];
      this.value = now;
      this.isPasting = false;
    }
  }

  const notes = questions.map((code) => {
    const area = areaOf(code);
    const fields = [...(area?.parentElement.querySelectorAll('[data-own-words]') ?? [])];
    const texts = fields.filter((field) => isOf(field.name, code))
      .map((field) => new OwnWords(field, pasted[code] ?? 0));
    return { code, area, texts, visible: 0, changes: 0, pastes: 0, isChanging: false };
  }).filter((note) => note.area);
  const noteAt = (element) => notes.find((note) => note.area.contains(element));

  function pastedShare({ texts }) {
    const origin = texts.flatMap((text) => text.origin);
    if (!origin.length) return null;
    return Math.round((1000 * origin.reduce((sum, part) => sum + part, 0)) / origin.length) / 1000;
  }

  // -- time --

  let visible = 0;
  let losses = 0;
  let last = performance.now();
  let isAway = document.visibilityState === 'hidden' || !document.hasFocus();
  let looked; // the note of the question looked at

  function tick() {
    const now = performance.now();
    if (!isAway) {
      visible += now - last;
      if (looked) looked.visible += now - last;
    }
    last = now;
  }

  function look(note) {
    if (!note || note === looked) return;
    if (looked) tick(); // the first one also has the moments before it
    looked = note;
  }

  function scrolled() {
    const { scrollHeight, clientHeight, scrollTop } = document.documentElement;
    const hidden = scrollHeight - clientHeight;
    const line = hidden > 0 ? (clientHeight * scrollTop) / hidden : 0;
    const distance = ({ area }) => {
      const { top, bottom } = area.getBoundingClientRect();
      return Math.max(top - line, line - bottom, 0);
    };
    const nearest = Math.min(...notes.map(distance));
    look(notes.find((note) => distance(note) === nearest));
  }

  function left(isLoss) {
    if (isAway) return;
    tick();
    isAway = true;
    if (isLoss) losses += 1;
  }

  function back() {
    tick();
    isAway = false;
  }

  // -- what is done --

  const used = { touch: 0, mouse: 0, keyboard: 0 };
  let input = null;
  let lastKeyed; // one control counts once, however many keys it takes

  function uses(kind) {
    back(); // whoever presses something is here
    used[kind] += 1;
    if (input === null || used[kind] >= used[input]) input = kind;
  }

  function pressed({ pointerType }) {
    lastKeyed = null;
    uses(KINDS[pointerType] ?? 'mouse');
  }

  function keyed({ key, target, ctrlKey, altKey, metaKey }) {
    const isTyped = target.matches?.('textarea, input[type="text"]') && key !== 'Tab';
    const isShortcut = ctrlKey || altKey || metaKey || key === 'Shift';
    if (isTyped || isShortcut || target === lastKeyed) return;
    lastKeyed = target;
    uses('keyboard');
  }

  function changed({ type, target }) {
    const isLine = Boolean(target.closest('.vas')) && target.type !== 'text';
    if (isLine ? type !== 'vas:settle' : !target.name) return;
    const note = noteAt(target);
    if (!note || note.isChanging) return;
    note.changes += 1;
    note.isChanging = true; // what a script changes in turn is the same change
    setTimeout(() => { note.isChanging = false; });
  }

  const textOf = (field) => noteAt(field)?.texts.find((text) => text.field === field);

  function wordsPasted({ target, detail }) {
    const [note, text] = [noteAt(target), textOf(target)];
    if (!text) return;
    note.pastes += 1;
    text.isPasting = !detail.isBlocked;
  }

  // -- sending --

  let carried = 0; // visible time in what was last sent
  let isSent = false;

  function record() {
    tick();
    carried = visible;
    return JSON.stringify({
      load,
      visible_ms: Math.round(visible),
      focus_losses: losses,
      viewport_width: window.innerWidth,
      viewport_height: window.innerHeight,
      input,
      questions: Object.fromEntries(notes.map((note) => [note.code, {
        visible_ms: Math.round(note.visible),
        changes: note.changes,
        pastes: note.pastes,
        pasted_share: pastedShare(note),
      }])),
    });
  }

  /** A page that is only read has no draft that could take the notes along. */
  function send() {
    tick();
    if (isSent || carried === visible) return;
    const { value } = form.elements.csrfmiddlewaretoken;
    const fields = { csrfmiddlewaretoken: value, page: form.dataset.draft, paradata: record() };
    navigator.sendBeacon(form.dataset.draftUrl, new URLSearchParams(fields));
  }

  form.addEventListener('formdata', ({ formData }) => formData.set('paradata', record()));
  document.addEventListener('submit', (event) => {
    if (event.target === form && !event.defaultPrevented) isSent = true;
  });

  for (const type of ['focusin', 'input', 'pointerdown', 'pointermove']) {
    form.addEventListener(type, ({ target }) => look(noteAt(target)), { passive: true });
  }
  document.addEventListener('scroll', scrolled, { passive: true });
  document.addEventListener('pointerdown', pressed, true);
  document.addEventListener('keydown', keyed, true);
  for (const type of ['change', 'vas:settle']) form.addEventListener(type, changed);
  form.addEventListener('words:paste', wordsPasted);
  form.addEventListener('input', (event) => textOf(event.target)?.changed(event));

  window.addEventListener('blur', () => left(true));
  window.addEventListener('focus', back);
  // The clock stops before page.js saves, and what it did not take along goes afterwards.
  window.addEventListener('pagehide', () => left(false), true); // before the tab is hidden
  window.addEventListener('pagehide', send);
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'hidden') left(true);
    else if (document.hasFocus()) back();
  }, true);
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'hidden') send();
  });
  window.addEventListener('pageshow', ({ persisted }) => {
    if (!persisted) return;
    isSent = false;
    back();
  });

  scrolled();
  look(noteAt(document.activeElement));
})();
