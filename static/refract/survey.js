/* What the survey's questions do beyond plain form fields: long lists that can be searched, orders
   made with buttons, and answers that stand alone. Each of them keeps the page's own controls,
   which are what is sent and what drafts keep. */
(() => {
  'use strict';

  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const spoken = document.getElementById('spoken');
  const changed = (control) => control.dispatchEvent(new Event('change', { bubbles: true }));

  function say(text) {
    if (spoken) spoken.textContent = text;
  }

  function make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  // -- answers that stand alone --

  document.addEventListener('change', ({ target }) => {
    if (target.type !== 'checkbox' || !target.checked || !target.name) return;
    const others = all(`input[name="${CSS.escape(target.name)}"]:checked`, target.form ?? document);
    const stands = others.filter((box) => box !== target)
      .filter((box) => 'exclusive' in target.dataset || 'exclusive' in box.dataset);
    for (const box of stands) {
      box.checked = false;
      changed(box);
    }
  });

  /** What is declined rests: seen, kept, and not asked for. */
  function rest(box) {
    const answers = box.closest('fieldset, div')?.querySelector('.answers');
    if (!answers) return;
    answers.toggleAttribute('data-resting', box.checked);
    for (const vas of all('.vas', answers)) vas.toggleAttribute('data-resting', box.checked);
  }

  function answered({ target }) {
    if (target.matches?.('[data-declines]')) {
      rest(target);
      return;
    }
    const resting = target.closest?.('.answers[data-resting]');
    const box = resting?.parentElement.querySelector('[data-declines]');
    if (!box?.checked) return;
    box.checked = false; // an answer takes the place of "Prefer not to say"
    rest(box);
  }
  for (const type of ['input', 'change', 'vas:settle']) document.addEventListener(type, answered);

  /** What was missing and is given now needs no complaint any more. */
  function mended({ target }) {
    const place = target.closest?.('.statement, tr, fieldset, .field');
    const error = place?.querySelector('.error');
    const isOwn = error?.closest('.statement, tr, fieldset, .field') === place;
    if (!isOwn || target.closest('.vas')) return;
    error.style.visibility = 'hidden'; // its room stays: a page that jumps under a click loses it
    for (const field of all(`[aria-describedby~="${CSS.escape(error.id)}"]`)) {
      const ids = field.getAttribute('aria-describedby').split(/\s+/);
      field.setAttribute('aria-describedby', ids.filter((id) => id !== error.id).join(' '));
    }
    for (const field of all('[aria-invalid]', place)) field.removeAttribute('aria-invalid');
  }
  document.addEventListener('change', mended);

  // -- long lists --

  const plain = (text) => text.normalize('NFD').replace(/\p{M}/gu, '').toLocaleLowerCase();

  class Combobox {
    constructor(select) {
      this.select = select;
      this.options = all('option', select).filter((option) => option.value);
      this.at = -1;
      this.build();
      this.show();
    }

    build() {
      const { select } = this;
      const list = `${select.id}-list`;
      this.list = make('ul', { id: list, hidden: true });
      this.list.setAttribute('role', 'listbox');
      this.list.setAttribute('aria-labelledby', select.getAttribute('aria-labelledby') ?? '');
      this.input = make('input', {
        type: 'text', id: `${select.id}-search`, autocomplete: 'off', spellcheck: false,
        placeholder: select.options[0].value ? '' : select.options[0].text,
      });
      const attributes = {
        role: 'combobox', 'aria-expanded': 'false', 'aria-controls': list,
        'aria-autocomplete': 'list',
      };
      for (const name of ['aria-labelledby', 'aria-describedby', 'aria-invalid']) {
        if (select.hasAttribute(name)) attributes[name] = select.getAttribute(name);
      }
      Object.entries(attributes).forEach(([name, value]) => this.input.setAttribute(name, value));
      const label = document.querySelector(`label[for="${CSS.escape(select.id)}"]`);
      if (label) label.htmlFor = this.input.id;
      select.before(make('div', { className: 'combo' }, this.input, this.list));
      select.hidden = true;
      this.input.addEventListener('input', () => this.search());
      this.input.addEventListener('keydown', (event) => this.key(event));
      this.input.addEventListener('focus', () => this.input.select());
      this.input.addEventListener('click', () => this.list.hidden && this.search(true));
      this.input.addEventListener('blur', () => this.leave());
      this.list.addEventListener('pointerdown', (event) => event.preventDefault()); // keep the focus
      this.list.addEventListener('click', (event) => this.pick(event.target.closest('li')));
      select.addEventListener('refract:restore', () => this.show());
    }

    /** The input says what is chosen. */
    show() {
      const chosen = this.select.selectedOptions[0];
      this.input.value = chosen?.value ? chosen.text : '';
    }

    search(isAll = false) {
      const wanted = isAll ? '' : plain(this.input.value.trim());
      const starts = this.options.filter((option) => plain(option.text).startsWith(wanted));
      const within = this.options.filter(
        (option) => !starts.includes(option) && plain(option.text).includes(wanted),
      );
      this.found = [...starts, ...within];
      this.list.replaceChildren(...this.found.map((option, n) => {
        const item = make('li', { id: `${this.list.id}-${n}`, textContent: option.text });
        item.setAttribute('role', 'option');
        item.setAttribute('aria-selected', 'false');
        return item;
      }));
      this.open(this.found.length > 0);
      const { some, none } = document.getElementById('matches-words').dataset;
      say(this.found.length ? some.replace('%n', this.found.length) : none);
      const chosen = isAll ? this.found.findIndex((option) => option.selected) : 0;
      if (wanted || chosen >= 0) this.mark(chosen);
    }

    open(isOpen) {
      this.list.hidden = !isOpen;
      this.input.setAttribute('aria-expanded', String(isOpen));
      this.at = -1;
      this.input.removeAttribute('aria-activedescendant');
    }

    mark(at) {
      const items = [...this.list.children];
      if (!items.length) return;
      items[this.at]?.setAttribute('aria-selected', 'false');
      this.at = (at + items.length) % items.length;
      items[this.at].setAttribute('aria-selected', 'true');
      items[this.at].scrollIntoView({ block: 'nearest' });
      this.input.setAttribute('aria-activedescendant', items[this.at].id);
    }

    key(event) {
      const isOpen = !this.list.hidden;
      const moves = { ArrowDown: this.at + 1, ArrowUp: this.at < 0 ? -1 : this.at - 1 };
      if (event.key in moves) {
        event.preventDefault();
        if (!isOpen) this.search(true);
        else this.mark(moves[event.key]);
      } else if (event.key === 'Enter' && isOpen) {
        event.preventDefault(); // chooses, and does not send the page
        this.pick(this.list.children[Math.max(0, this.at)]);
      } else if (event.key === 'Escape' && isOpen) {
        event.preventDefault();
        this.open(false);
        this.show();
      }
    }

    pick(item) {
      if (!item) return;
      const option = this.found[[...this.list.children].indexOf(item)];
      this.select.value = option.value;
      this.input.removeAttribute('aria-invalid');
      this.open(false);
      this.show();
      changed(this.select);
    }

    /** What was typed counts if it names one entry; an empty field takes the choice back. */
    leave() {
      const typed = plain(this.input.value.trim());
      const exact = this.options.find((option) => plain(option.text) === typed);
      this.open(false);
      const value = typed ? exact?.value ?? this.select.value : '';
      if (value !== this.select.value) {
        this.select.value = value;
        changed(this.select);
      }
      this.show();
    }
  }

  // -- orders --

  class Ranking {
    constructor(root) {
      this.root = root;
      this.words = root.dataset;
      this.places = Number(root.dataset.places);
      this.rows = all('.rank', root);
      this.selects = this.rows.map((row) => row.querySelector('select'));
      this.yours = make('ol', { className: 'yours' });
      this.rest = make('ol', { className: 'rest' });
      this.none = make('p', { className: 'hint', textContent: this.words.none });
      const area = make('div', { className: 'ranked' },
        make('h3', { textContent: this.words.yours }), this.none, this.yours);
      this.restHeading = make('h3', { textContent: this.words.rest });
      area.append(this.restHeading, this.rest);
      this.rows.forEach((row) => { row.hidden = true; });
      root.prepend(area);
      root.addEventListener('click', (event) => this.press(event.target.closest('button')));
      root.addEventListener('refract:restore', () => this.read());
      this.read();
    }

    name(select) {
      return select.labels[0].textContent.trim();
    }

    /** The order as the selects have it; two of one place are both taken back. */
    read() {
      const at = this.selects.filter((select) => select.value);
      const isTwice = (select) => at.some((o) => o !== select && o.value === select.value);
      this.order = at.filter((select) => !isTwice(select)).sort((a, b) => a.value - b.value);
      this.draw();
    }

    draw() {
      const { order } = this;
      const open = this.selects.filter((select) => !order.includes(select));
      const isFull = order.length >= this.places;
      this.yours.replaceChildren(...order.map((select, n) => this.item(select, n)));
      this.rest.replaceChildren(...open.map((select) => this.item(select, -1, isFull)));
      this.none.hidden = order.length > 0;
      this.restHeading.hidden = !open.length;
    }

    item(select, n, isFull = false) {
      const buttons = n < 0
        ? [['place', isFull]]
        : [['up', n === 0], ['down', n === this.order.length - 1], ['back', false]];
      const li = make('li', {}, ...(n < 0 ? [] : [make('b', { textContent: n + 1 })]),
        make('span', { textContent: this.name(select) }),
        make('span', { className: 'buttons' }, ...buttons.map(([verb, off]) => {
          const button = make('button', {
            type: 'button', className: 'btn plain small', textContent: this.words[verb],
            disabled: off,
          });
          button.dataset.verb = verb;
          button.dataset.for = select.id;
          button.setAttribute('aria-label', `${this.words[verb]}: ${this.name(select)}`);
          return button;
        })));
      li.querySelector('.buttons').style.flex = '0 1 auto';
      return li;
    }

    press(button) {
      if (!button?.dataset.verb) return;
      const select = document.getElementById(button.dataset.for);
      const { verb } = button.dataset;
      const n = this.order.indexOf(select);
      if (verb === 'place') this.order.push(select);
      else if (verb === 'back') this.order.splice(n, 1);
      else this.order.splice(n + (verb === 'up' ? -1 : 1), 0, ...this.order.splice(n, 1));
      this.write();
      this.draw();
      this.focus(select, verb);
      this.tell(select);
    }

    write() {
      for (const select of this.selects) {
        const place = this.order.indexOf(select) + 1;
        select.value = place ? String(place) : '';
        select.removeAttribute('aria-invalid');
      }
      changed(this.selects[0]);
    }

    /** Where the next press is likely: the same button, or its neighbour at the end of the list. */
    focus(select, verb) {
      const buttons = all('button', this.root).filter((b) => !b.disabled);
      const own = buttons.filter((b) => b.dataset.for === select.id);
      const next = buttons.find((b) => b.dataset.verb === 'place');
      const target = verb === 'place' ? next ?? own[0]
        : own.find((b) => b.dataset.verb === verb) ?? own[0];
      (target ?? buttons[0])?.focus();
    }

    tell(select) {
      const place = this.order.indexOf(select) + 1;
      say((place ? this.words.said : this.words.saidBack).replace('{item}', this.name(select))
        .replace('{places}', this.places).replace('{place}', place));
    }
  }

  // -- beginning --

  all('select[data-typeahead]').forEach((select) => new Combobox(select));
  all('[data-ranking]').forEach((root) => new Ranking(root));
  all('[data-declines]').forEach(rest);
})();
