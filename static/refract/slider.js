/* The measuring line (visual analogue scale) over <input type="range">.

   Nothing suggests an answer: no mark before the first touch, no number to see or hear; the
   position is spoken in words. On .vas, for CSS and for other scripts:
     data-state      unrated | rated | na
     data-missing    it was sent without a rating
     data-first      value it first rested on
     data-first-by   pointer | keyboard (of the first touch)
     data-moves      times it came to rest; a run of keys is one
     data-ms         milliseconds from appearing to the first touch
   The last four go with the form as JSON in the hidden field NAME_record.
   Fires vas:settle when the mark has come to rest and when N/A changes. Listens to vas:rest
   (settle now), vas:missing (say that a rating is needed) and vas:restore (fields were filled). */
(() => {
  'use strict';

  const words = {
    unrated: 'Not yet rated',
    untouched: 'Not yet rated, from {low} to {high}',
    na: 'Not applicable',
    missing: 'Please rate this',
    low: 'at {low}',
    high: 'at {high}',
    nearLow: 'just past {low}',
    nearHigh: 'just short of {high}',
    about: 'about {part} of the way from {low} to {high}',
    more: 'a little more than {part} of the way from {low} to {high}',
    less: 'a little less than {part} of the way from {low} to {high}',
    parts: ['a tenth', 'a fifth', 'a quarter', 'a third', 'two fifths', 'half', 'three fifths',
      'two thirds', 'three quarters', 'four fifths', 'nine tenths'],
  };
  const PARTS = [1 / 10, 1 / 5, 1 / 4, 1 / 3, 2 / 5, 1 / 2, 3 / 5, 2 / 3, 3 / 4, 4 / 5, 9 / 10];
  const NEAR = 0.06; // of the line: closer than this to an end is named after the end
  const EXACT = 0.012; // of the line: closer than this to a part is "about" that part
  const REST_MS = 500; // without a change: the mark has come to rest
  const DRAG_PX = 6; // sideways: a finger means to move the mark

  /** Where the mark is, in words; at = 0 is the low end, 1 the high end. */
  function position(at) {
    if (at <= 0) return words.low;
    if (at >= 1) return words.high;
    if (at < NEAR) return words.nearLow;
    if (at > 1 - NEAR) return words.nearHigh;
    let best = 0;
    PARTS.forEach((part, i) => {
      if (Math.abs(part - at) < Math.abs(PARTS[best] - at)) best = i;
    });
    const off = at - PARTS[best];
    const form = Math.abs(off) < EXACT ? words.about : off > 0 ? words.more : words.less;
    return form.replace('{part}', words.parts[best]);
  }

  function parsed(json) {
    try {
      return JSON.parse(json) ?? {};
    } catch {
      return {};
    }
  }

  class Line {
    constructor(vas) {
      this.vas = vas;
      this.input = vas.querySelector('input[type="range"]');
      this.rated = vas.querySelector('.vas-confirm input');
      this.na = vas.querySelector('.vas-na input');
      this.note = vas.querySelector('.vas-note');
      this.record = vas.querySelector('input[name$="_record"]') ?? this.newRecord();
      this.ends = {
        low: vas.querySelector('.vas-low').textContent.trim(),
        high: vas.querySelector('.vas-high').textContent.trim(),
      };
      this.min = Number(this.input.min);
      this.span = Number(this.input.max) - this.min;
      this.appeared = performance.now();
      this.by = 'keyboard'; // also what assistive technology does without any key
      this.gesture = null;
      this.timer = 0;
      this.listen();
      this.recall();
    }

    newRecord() {
      const record = document.createElement('input');
      record.type = 'hidden';
      record.name = `${this.input.name}_record`;
      this.input.after(record);
      return record;
    }

    listen() {
      const on = (target, type, handle) => target?.addEventListener(type, handle.bind(this));
      on(this.input, 'input', this.changed);
      on(this.input, 'blur', this.settle);
      on(this.input, 'keydown', this.key);
      on(this.input, 'mousedown', this.mouse);
      on(this.input, 'pointerdown', this.press);
      on(this.input, 'pointermove', this.drag);
      on(this.input, 'pointerup', this.release);
      on(this.input, 'pointercancel', this.abandon);
      on(this.na, 'change', this.toggleNa);
      on(this.vas, 'vas:rest', this.settle);
      on(this.vas, 'vas:missing', this.ask);
      on(this.vas, 'vas:restore', this.recall);
    }

    get middle() {
      return String(Math.floor(this.min + this.span / 2)); // 50 on 0–100 and on 1–100
    }

    /** Take over what the page came with, or what was filled in since. */
    recall() {
      const { dataset } = this.vas;
      this.touched = 'rated' in dataset;
      const kept = this.touched ? parsed(this.record.value) : {};
      const facts = { first: kept.first, firstBy: kept.first_by, moves: kept.moves, ms: kept.ms };
      for (const [name, fact] of Object.entries(facts)) {
        if (fact === undefined || fact === null || fact === '') delete dataset[name];
        else dataset[name] = fact;
      }
      if (!this.touched) {
        this.input.value = this.middle;
        this.record.value = '';
      }
      this.rest = this.touched ? this.input.value : null;
      this.render();
    }

    get state() {
      if (this.na?.checked) return 'na';
      return this.touched ? 'rated' : 'unrated';
    }

    get isMissing() {
      return 'missing' in this.vas.dataset;
    }

    render() {
      const { dataset } = this.vas;
      const { state, input } = this;
      if (state !== 'unrated') {
        delete dataset.missing;
        input.removeAttribute('aria-describedby'); // the server's complaint is settled
      }
      const missing = this.isMissing;
      dataset.state = state;
      input.disabled = state === 'na';
      this.rated.checked = this.touched; // the server counts a value only with this
      if (missing) input.setAttribute('aria-invalid', 'true');
      else input.removeAttribute('aria-invalid');
      input.setAttribute('aria-valuetext', this.spoken(state));
      // A rated line keeps the note, unseen, so that nothing moves.
      this.note.textContent = missing ? words.missing : words[state] ?? words.unrated;
    }

    spoken(state) {
      const texts = {
        unrated: words.untouched,
        rated: position((this.input.value - this.min) / this.span),
        na: words.na,
      };
      return texts[state].replace('{low}', this.ends.low).replace('{high}', this.ends.high);
    }

    write() {
      const { first, firstBy, moves, ms } = this.vas.dataset;
      const number = (text) => (text === undefined ? null : Number(text));
      this.record.value = JSON.stringify({
        first: number(first), first_by: firstBy ?? '', moves: number(moves) ?? 0, ms: number(ms),
      });
    }

    changed(event) {
      if (event.isTrusted && this.gesture) { // the browser's own guess, perhaps of a scroll
        this.input.value = this.gesture.value;
        event.stopImmediatePropagation();
        return;
      }
      if (!this.touched) {
        this.vas.dataset.firstBy = this.by;
        this.vas.dataset.ms = Math.round(performance.now() - this.appeared);
        this.touched = true;
        this.write();
      }
      this.render();
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.settle(), REST_MS);
    }

    settle() {
      clearTimeout(this.timer);
      if (this.gesture) return; // a mark that is held does not rest
      if (!this.touched || this.input.value === this.rest) return;
      const { dataset } = this.vas;
      this.rest = this.input.value;
      dataset.first ??= this.rest;
      dataset.moves = Number(dataset.moves ?? 0) + 1;
      this.write();
      this.tell();
    }

    tell() {
      const value = this.touched ? Number(this.input.value) : null;
      const detail = { name: this.input.name, value, ...this.vas.dataset };
      this.vas.dispatchEvent(new CustomEvent('vas:settle', { bubbles: true, detail }));
    }

    toggleNa() {
      this.render();
      this.tell();
    }

    ask() {
      this.vas.dataset.missing = '';
      this.render();
    }

    /* Keyboard: the browser moves the mark. An untouched line starts from its middle. */
    key() {
      this.by = 'keyboard';
      if (!this.touched) this.input.value = this.middle;
    }

    /* Pointer: press or tap anywhere, or drag. A finger that moves up or down scrolls. */
    mouse(event) {
      event.preventDefault(); // no browser's own dragging: ours is the same everywhere
      this.input.focus({ preventScroll: true });
    }

    press(event) {
      if (event.button || !event.isPrimary || this.input.disabled) return;
      const dragging = event.pointerType === 'mouse';
      this.gesture = {
        x: event.clientX,
        y: event.clientY,
        dragging,
        value: this.input.value, // what the mark shows now
        before: { value: this.input.value, touched: this.touched, missing: this.isMissing },
      };
      this.input.setPointerCapture(event.pointerId);
      if (dragging) this.place(event);
    }

    drag(event) {
      const { gesture } = this;
      if (!gesture) return;
      const across = Math.abs(event.clientX - gesture.x);
      gesture.dragging ||= across > DRAG_PX && across > Math.abs(event.clientY - gesture.y);
      if (gesture.dragging) this.place(event);
    }

    release(event) {
      if (!this.gesture) return;
      if (!this.gesture.dragging) this.place(event);
      this.gesture = null;
      this.settle();
    }

    /** The browser made it a scroll after all: as if the line had not been touched. */
    abandon() {
      if (!this.gesture) return;
      const { value, touched, missing } = this.gesture.before;
      this.gesture = null;
      this.by = 'keyboard';
      clearTimeout(this.timer);
      this.input.value = value;
      this.touched = touched;
      if (!touched) {
        delete this.vas.dataset.firstBy;
        delete this.vas.dataset.ms;
        this.record.value = '';
      }
      if (missing) this.vas.dataset.missing = '';
      this.render();
    }

    place(event) {
      const { input } = this;
      const box = input.getBoundingClientRect();
      const style = getComputedStyle(input);
      const mark = parseFloat(style.getPropertyValue('--mark'));
      const along = (event.clientX - box.left - mark / 2) / (box.width - mark);
      const part = Math.min(1, Math.max(0, style.direction === 'rtl' ? 1 - along : along));
      this.by = 'pointer';
      input.value = this.gesture.value = String(Math.round(this.min + this.span * part));
      input.dispatchEvent(new Event('input', { bubbles: true }));
    }
  }

  function wake(root) {
    const lines = [...root.querySelectorAll('.vas')];
    if (root.matches?.('.vas')) lines.push(root);
    for (const vas of lines) if (!vas.dataset.state) new Line(vas);
  }

  function restAll() {
    document.querySelectorAll('.vas').forEach((vas) => vas.dispatchEvent(new Event('vas:rest')));
  }

  Object.assign(words, parsed(document.getElementById('vas-words')?.textContent ?? '{}'));
  wake(document);
  document.addEventListener('htmx:load', (event) => wake(event.target)); // after each swap
  // Before anything reads the form: what still moves is taken as it stands.
  document.addEventListener('submit', restAll, true);
  document.addEventListener('visibilitychange', restAll, true);
})();
