'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const all = (query, root = document) => [...root.querySelectorAll(query)];
const byId = (id) => document.getElementById(id);

// Tips -------------------------------------------------------------------------------------------
const tip = byId('tip');
function showTip(text, x, y) {
  tip.hidden = !text;
  if (!text) return;
  tip.textContent = text;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - box.width - 8))}px`;
  tip.style.top = `${y + box.height + 22 > innerHeight ? y - box.height - 10 : y + 16}px`;
}
document.addEventListener('pointermove', (event) => {
  const owner = event.target.closest('[data-tip]');
  showTip(owner && owner.dataset.tip, event.clientX, event.clientY);
});

// The summary: what stands below the mean, sorting -------------------------------------------------
const table = byId('summary-table');
for (const button of all('#sub button')) {
  button.onclick = () => {
    table.dataset.sub = button.dataset.sub;
    all('#sub button').forEach((b) => b.setAttribute('aria-pressed', String(b === button)));
  };
}
all('#summary-table thead th').forEach((head, column) => {
  head.querySelector('button').onclick = () => {
    const first = head.dataset.order === 'up' ? 'ascending' : 'descending';
    const other = first === 'ascending' ? 'descending' : 'ascending';
    const order = head.getAttribute('aria-sort') === first ? other : first;
    all('#summary-table thead th').forEach((h) => h.removeAttribute('aria-sort'));
    head.setAttribute('aria-sort', order);
    const sign = order === 'ascending' ? 1 : -1;
    const key = (row) => row.children[column].dataset.v;
    const rows = all('tbody tr', table).sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === '' || y === '') return (x === '') - (y === '');
      return sign * (column ? x - y : x.localeCompare(y));
    });
    table.tBodies[0].append(...rows);
    rows.forEach((row) => row.classList.remove('first-baseline'));
  };
});

// Charts: one metric at a time ---------------------------------------------------------------------
for (const select of all('select[data-switch]')) {
  select.onchange = () => all('[data-panel]', byId(select.dataset.switch)).forEach((panel) => {
    panel.hidden = panel.dataset.panel !== select.value;
  });
}
for (const chip of all('.chip')) {
  chip.onclick = () => {
    const on = chip.getAttribute('aria-pressed') !== 'true';
    chip.setAttribute('aria-pressed', String(on));
    all(`.curve[data-model="${chip.dataset.model}"]`).forEach((c) => c.classList.toggle('off', !on));
  };
}
for (const svg of data.curves ? all('#time-plots svg') : []) {
  const cursor = svg.querySelector('.cursor');
  const { width, x, time, models, values } = data.curves;
  svg.onpointermove = (event) => {
    const box = svg.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * width;
    const nearest = x.reduce((best, v, i) => (Math.abs(v - at) < Math.abs(x[best] - at) ? i : best), 0);
    cursor.setAttribute('transform', `translate(${x[nearest] - cursor.getBBox().x} 0)`);
    cursor.setAttribute('visibility', 'visible');
    const rows = models.map((name, i) => `${name} ${values[svg.dataset.metric][i][nearest]}`);
    showTip([time[nearest], ...rows].join('\n'), event.clientX, event.clientY);
    event.stopPropagation();
  };
  svg.onpointerleave = () => { cursor.setAttribute('visibility', 'hidden'); showTip(''); };
}

// Pictures: flip between layers of one scene --------------------------------------------------------
const pictures = data.pictures || {};
const stage = byId('stage');
const state = { scene: 0, layer: 0 };
const sceneOf = (number) => document.querySelector(`.scene[data-scene="${number}"]`);
const figureOf = (scene, layer) => scene.querySelector(`figure[data-layer="${layer}"]`);

function show() {
  const metric = byId('picture-metric');
  const index = metric ? metric.selectedIndex : -1;
  const scene = sceneOf(state.scene);
  if (!figureOf(scene, state.layer)) state.layer = Number(scene.querySelector('figure').dataset.layer);
  all('.scene').forEach((s) => { s.hidden = s !== scene; });
  const side = stage.classList.contains('side');
  all('figure', scene).forEach((figure) => {
    figure.classList.toggle('off', !side && Number(figure.dataset.layer) !== state.layer);
  });
  for (const button of all('.layer')) {
    const layer = Number(button.dataset.layer);
    const model = pictures.layers[layer];
    button.disabled = !figureOf(scene, layer);
    button.setAttribute('aria-pressed', String(layer === state.layer));
    button.querySelector('output').textContent =
      model < 0 || index < 0 ? '' : pictures.values[state.scene][model][index];
  }
  byId('layer-metric').textContent = index < 0 ? '' : `${pictures.metrics[index]} ${pictures.arrows[index]}`;
  all('#strip button').forEach((b) => b.setAttribute('aria-pressed', String(Number(b.dataset.scene) === state.scene)));
}

function step(by) {
  const layers = all('.layer:not(:disabled)').map((b) => Number(b.dataset.layer));
  state.layer = layers[(layers.indexOf(state.layer) + by + layers.length) % layers.length];
  show();
}

function open(scene, layer = state.layer) {
  state.scene = scene;
  state.layer = layer;
  show();
  document.querySelector(`#strip [data-scene="${scene}"]`).scrollIntoView({ block: 'nearest', inline: 'nearest' });
}

if (stage && all('.scene').length) {
  all('#strip button').forEach((button) => {
    const image = sceneOf(button.dataset.scene).querySelector('img');
    button.querySelector('.thumb').style.backgroundImage = `url(${image.src})`;
    button.onclick = () => open(Number(button.dataset.scene));
  });
  all('.layer').forEach((button) => {
    button.onclick = () => { state.layer = Number(button.dataset.layer); show(); };
  });
  if (byId('picture-metric')) byId('picture-metric').onchange = show;
  byId('side').onclick = () => {
    const side = stage.classList.toggle('side');
    byId('side').setAttribute('aria-pressed', String(side));
    stage.classList.remove('zoomed');
    show();
  };
  stage.onclick = (event) => {
    if (event.target.closest('.frame')) { stage.classList.toggle('zoomed'); aim(event); }
  };
  const aim = (event) => {
    const frame = event.target.closest('.frame');
    if (!frame) return;
    const box = frame.getBoundingClientRect();
    stage.style.setProperty('--x', `${(100 * (event.clientX - box.left)) / box.width}%`);
    stage.style.setProperty('--y', `${(100 * (event.clientY - box.top)) / box.height}%`);
  };
  stage.onpointermove = (event) => { if (stage.classList.contains('zoomed')) aim(event); };
  document.addEventListener('keydown', (event) => {
    if (event.target.closest('select, input') || event.ctrlKey || event.metaKey || event.altKey) return;
    const inside = byId('viewer').getBoundingClientRect();
    if (inside.bottom < 0 || inside.top > innerHeight) return;
    const number = Number(event.key) - 1;
    const scenes = all('.scene').length;
    if (number >= 0 && figureOf(sceneOf(state.scene), number)) { state.layer = number; show(); }
    else if (event.key === 'ArrowRight') step(1);
    else if (event.key === 'ArrowLeft') step(-1);
    else if (event.key === 'ArrowDown') open((state.scene + 1) % scenes);
    else if (event.key === 'ArrowUp') open((state.scene + scenes - 1) % scenes);
    else return;
    event.preventDefault();
  });
  show();
}

// Best and worst images of a model --------------------------------------------------------------
const list = byId('extreme-list');
function extremes() {
  const model = Number(byId('extreme-model').value);
  const sides = pictures.extremes[model][byId('extreme-metric').selectedIndex];
  list.replaceChildren();
  sides.forEach((side, i) => {
    const head = document.createElement('h3');
    head.textContent = i ? 'Worst' : 'Best';
    list.append(head);
    for (const [stem, value, scene] of side) {
      const button = document.createElement('button');
      const figure = scene < 0 ? null : figureOf(sceneOf(scene), pictures.layerOf[model]);
      if (figure) {
        const image = document.createElement('img');
        image.src = figure.querySelector('img').src;
        image.alt = stem;
        button.append(image);
        button.onclick = () => { open(scene, pictures.layerOf[model]); byId('pictures').scrollIntoView(); };
      } else button.disabled = true;
      button.append(`${stem}  ${value}`);
      list.append(button);
    }
  });
}
if (list) {
  byId('extreme-model').onchange = extremes;
  byId('extreme-metric').onchange = extremes;
  extremes();
}

// The command -------------------------------------------------------------------------------------
const copy = byId('copy');
if (copy && navigator.clipboard) {
  copy.hidden = false;
  copy.onclick = () => navigator.clipboard.writeText(byId('command').textContent);
}
