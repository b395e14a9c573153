'use strict';
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const find = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const byId = (id) => document.getElementById(id);
  const make = (name, className = '', text = '') => {
    const element = document.createElement(name);
    element.className = className;
    element.textContent = text;
    return element;
  };

  /* One tooltip for everything that has data-tip. */
  const tip = byId('tip');
  const showTip = (text, x, y) => {
    tip.textContent = text;
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    const left = Math.min(x + 14, innerWidth - width - 8);
    const top = y + 18 + height > innerHeight ? y - height - 12 : y + 18;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${Math.max(8, top)}px`;
  };
  document.addEventListener('pointermove', (event) => {
    const target = event.target.closest('[data-tip]');
    if (target) showTip(target.dataset.tip, event.clientX, event.clientY);
    else if (!event.target.closest('[data-metric]')) tip.hidden = true;
  });
  document.addEventListener('focusin', (event) => {
    const target = event.target.closest('[data-tip]');
    if (!target || !target.matches(':focus-visible')) return;
    const box = target.getBoundingClientRect();
    showTip(target.dataset.tip, box.left, box.bottom - 10);
  });
  for (const name of ['focusout', 'scroll', 'pointerleave']) {
    document.addEventListener(name, () => { tip.hidden = true; }, { passive: true });
  }

  /* The summary: sort by a column, best first; again to turn round; a third time as it was. */
  const table = byId('summary-table');
  const body = find('tbody', table);
  const given = [...body.rows];
  const valueOf = (row, column) => {
    const text = row.cells[column].dataset.v;
    return column === 0 ? text : text === '' ? null : Number(text);
  };
  const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  all('thead th', table).forEach((head, column) => {
    find('button', head).addEventListener('click', () => {
      const first = head.dataset.order === 'up' ? 'ascending' : 'descending';
      const second = first === 'ascending' ? 'descending' : 'ascending';
      const before = head.getAttribute('aria-sort');
      const order = before === first ? second : before === second ? null : first;
      all('[aria-sort]', table).forEach((other) => other.removeAttribute('aria-sort'));
      const rows = [...given];
      if (order) {
        head.setAttribute('aria-sort', order);
        const sign = order === 'ascending' ? 1 : -1;
        rows.sort((a, b) => {
          const [x, y] = [valueOf(a, column), valueOf(b, column)];
          if (x === null || y === null) return (x === null) - (y === null);
          return sign * compare(x, y);
        });
      }
      body.toggleAttribute('data-sorted', Boolean(order));
      body.append(...rows);
    });
  });
  const press = (buttons, chosen) => buttons.forEach(
    (button) => button.setAttribute('aria-pressed', String(button === chosen)));
  const subs = all('#sub button');
  subs.forEach((button) => button.addEventListener('click', () => {
    table.dataset.sub = button.dataset.sub;
    press(subs, button);
  }));

  /* A choice that shows one of several plots. */
  all('select[data-switch]').forEach((select) => {
    const show = () => all('[data-panel]', byId(select.dataset.switch)).forEach((panel) => {
      panel.hidden = panel.dataset.panel !== select.value;
    });
    select.addEventListener('change', show);
    show();
  });

  /* The viewer. */
  const pictures = data.pictures;
  const viewer = byId('viewer');
  if (viewer) {
    const stage = byId('stage');
    const scenes = all('.scene', stage);
    const layers = all('.layer', viewer);
    const thumbs = all('#strip button');
    const metric = byId('picture-metric');
    const side = byId('side');
    const state = { scene: 0, layer: 0 };
    const figure = (scene, layer) => find(`figure[data-layer="${layer}"]`, scenes[scene]);
    const present = (scene) => all('figure', scenes[scene]).map((f) => Number(f.dataset.layer));
    const source = (scene, layer) => {
      const shown = figure(scene, layer);
      return shown && find('img', shown).src;
    };
    const nameOf = (layer) => find('.name', layers[layer]).textContent;
    const showValues = () => {
      const index = metric ? metric.selectedIndex : -1;
      byId('layer-metric').textContent = index < 0 ? '' : metric.options[index].text;
      layers.forEach((button, layer) => {
        const model = pictures.layers[layer];
        const known = index >= 0 && model >= 0;
        find('output', button).textContent =
          known ? pictures.values[state.scene][model][index] : '';
      });
      const model = pictures.layers[state.layer];
      byId('layer-values').replaceChildren(...(model < 0 ? [] : pictures.metrics.map((name, at) => {
        const entry = make('div', at === index ? 'current' : '');
        const value = pictures.values[state.scene][model][at];
        entry.append(make('dt', '', `${name}\u2009${pictures.arrows[at]}`), make('dd', '', value));
        return entry;
      })));
    };
    const show = (scene, layer) => {
      const has = present(scene);
      state.scene = scene;
      state.layer = has.includes(layer) ? layer : has[has.length - 1];
      scenes.forEach((element, index) => { element.hidden = index !== scene; });
      all('figure', scenes[scene]).forEach((element) => {
        element.classList.toggle('shown', Number(element.dataset.layer) === state.layer);
      });
      layers.forEach((button, index) => { button.disabled = !has.includes(index); });
      press(layers, layers[state.layer]);
      press(thumbs, thumbs[scene]);
      showValues();
    };
    const flip = (step) => {
      const has = present(state.scene);
      const place = has.indexOf(state.layer) + step;
      show(state.scene, has[(place + has.length) % has.length]);
    };
    const turn = (step) => {
      let scene = state.scene;
      do scene = (scene + step + scenes.length) % scenes.length;
      while (thumbs[scene].hidden && scene !== state.scene);
      show(scene, state.layer);
      const strip = byId('strip');
      const middle = thumbs[scene].offsetLeft - strip.offsetLeft - strip.clientWidth / 2;
      strip.scrollTo({ left: middle + thumbs[scene].clientWidth / 2, behavior: 'smooth' });
    };
    layers.forEach((button, index) => button.addEventListener('click', () => show(state.scene, index)));
    thumbs.forEach((button, index) => {
      const image = make('img');
      image.alt = '';
      image.src = source(index, present(index)[0]);
      find('.thumb', button).append(image);
      button.addEventListener('click', () => show(index, state.layer));
    });
    metric?.addEventListener('change', showValues);
    side.addEventListener('click', () => {
      const on = stage.classList.toggle('grid');
      side.setAttribute('aria-pressed', String(on));
    });

    /* Zoom: every picture of the scene moves together. */
    const aim = (event) => {
      const frame = event.target.closest('.frame');
      if (!frame) return;
      const box = frame.getBoundingClientRect();
      stage.style.setProperty('--x', `${(100 * (event.clientX - box.left) / box.width).toFixed(2)}%`);
      stage.style.setProperty('--y', `${(100 * (event.clientY - box.top) / box.height).toFixed(2)}%`);
    };
    stage.addEventListener('pointermove', aim);
    stage.addEventListener('click', (event) => {
      if (!event.target.closest('.frame')) return;
      aim(event);
      stage.classList.toggle('zoomed');
    });
    document.addEventListener('keydown', (event) => {
      const box = viewer.getBoundingClientRect();
      const seen = box.top < innerHeight * 0.7 && box.bottom > innerHeight * 0.2;
      const busy = event.target.closest('select, input, textarea');
      if (!seen || busy || event.ctrlKey || event.metaKey || event.altKey) return;
      const number = Number(event.key);
      if (number >= 1 && number <= layers.length) {
        if (!layers[number - 1].disabled) show(state.scene, number - 1);
      } else if (event.key === 'ArrowRight') flip(1);
      else if (event.key === 'ArrowLeft') flip(-1);
      else if (event.key === 'ArrowDown') turn(1);
      else if (event.key === 'ArrowUp') turn(-1);
      else return;
      event.preventDefault();
    });
    show(0, 0);

    /* Best and worst images. */
    const list = byId('extreme-list');
    const model = byId('extreme-model');
    const chosen = byId('extreme-metric');
    const card = ([stem, value, scene], layer) => {
      const button = make('button', 'card');
      const thumb = make('span', 'thumb');
      const shown = scene < 0 ? [] : present(scene);
      const image = shown.includes(layer);
      if (shown.length) {
        const element = make('img', image ? '' : 'instead');
        element.src = source(scene, image ? layer : shown[0]);
        element.alt = '';
        thumb.append(element);
        if (!image) thumb.append(make('i', '', nameOf(shown[0])));
      } else {
        thumb.classList.add('empty');
        thumb.textContent = 'not embedded';
      }
      const text = make('div');
      text.append(make('b', '', stem), make('em', '', value));
      button.type = 'button';
      button.disabled = !shown.length;
      button.title = stem;
      button.append(thumb, text);
      button.addEventListener('click', () => {
        show(scene, layer);
        byId('pictures').scrollIntoView({ behavior: 'smooth' });
        viewer.focus({ preventScroll: true });
      });
      return button;
    };
    const listExtremes = () => {
      const sides = pictures.extremes[model.selectedIndex][chosen.selectedIndex];
      const layer = pictures.layerOf[model.selectedIndex];
      list.replaceChildren(...['Best', 'Worst'].flatMap((name, index) => {
        if (!sides[index].length) return [];
        const group = make('div');
        const cards = make('div', 'cards');
        cards.append(...sides[index].map((entry) => card(entry, layer)));
        group.append(make('h3', '', name), cards);
        return [group];
      }));
      if (!list.childElementCount) list.textContent = 'No image has a value.';
    };
    if (list) {
      model.addEventListener('change', listExtremes);
      chosen.addEventListener('change', listExtremes);
      listExtremes();
    }
  }

  /* The time line: values under the pointer, models on and off. */
  const curves = data.curves;
  const plots = byId('time-plots');
  if (curves && plots) {
    const chips = all('.chip');
    const lines = (model) => all(`.curve[data-model="${model}"]`, plots);
    const hidden = new Set();
    chips.forEach((chip, model) => {
      chip.addEventListener('click', () => {
        const off = !hidden.delete(model) && hidden.add(model);
        chip.setAttribute('aria-pressed', String(!off));
        lines(model).forEach((element) => { element.style.display = off ? 'none' : ''; });
      });
      chip.addEventListener('pointerenter', () => {
        if (hidden.has(model)) return;
        plots.classList.add('has-focus');
        lines(model).forEach((element) => element.classList.add('focus'));
      });
      chip.addEventListener('pointerleave', () => {
        plots.classList.remove('has-focus');
        lines(model).forEach((element) => element.classList.remove('focus'));
      });
    });
    all('svg', plots).forEach((svg) => {
      const cursor = find('.cursor', svg);
      svg.addEventListener('pointermove', (event) => {
        const box = svg.getBoundingClientRect();
        const at = (event.clientX - box.left) / box.width * curves.width;
        let nearest = 0;
        curves.x.forEach((x, index) => {
          if (Math.abs(x - at) < Math.abs(curves.x[nearest] - at)) nearest = index;
        });
        cursor.setAttribute('transform', `translate(${curves.x[nearest] - curves.x0} 0)`);
        cursor.setAttribute('visibility', 'visible');
        const values = curves.values[svg.dataset.metric];
        const text = curves.models.flatMap((name, model) => (
          hidden.has(model) ? [] : [`${values[model][nearest]}  ${name}`]));
        showTip([`${curves.time[nearest]}, ${svg.dataset.metric}`, ...text].join('\n'),
          event.clientX, event.clientY);
        event.stopPropagation();
      });
      svg.addEventListener('pointerleave', () => {
        cursor.setAttribute('visibility', 'hidden');
        tip.hidden = true;
      });
    });
  }

  /* Copy the command, where the browser lets a local file do so. */
  const copy = byId('copy');
  if (navigator.clipboard) {
    copy.hidden = false;
    copy.addEventListener('click', async () => {
      await navigator.clipboard.writeText(byId('command').textContent);
      copy.textContent = 'Copied';
    });
  }
})();
