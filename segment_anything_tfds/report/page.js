'use strict';
const samples = JSON.parse(document.getElementById('data').textContent);
const $ = id => document.getElementById(id);
const bottom = $('bottom').getContext('2d'), top_ = $('top').getContext('2d');
const state = { index: 0, masks: [], width: 1, height: 1, hovered: null, pinned: null };

// COCO's compressed counts: six bits a character; from the fourth run on, differences to the run two before.
function decodeCounts(counts) {
  if (typeof counts !== 'string') return counts;
  const runs = [];
  for (let i = 0; i < counts.length;) {
    let value = 0, shift = 0, more = true;
    while (more) {
      const code = counts.charCodeAt(i++) - 48;
      value |= (code & 31) << shift;
      shift += 5;
      more = (code & 32) !== 0;
      if (!more && (code & 16)) value |= -1 << shift;
    }
    if (runs.length > 2) value += runs[runs.length - 2];
    runs.push(value);
  }
  return runs;
}

// The mask at the size of the picture on the page, cropped to its bounding box: one byte a pixel.
function drawMask(segmentation, width, height) {
  const [fullHeight, fullWidth] = segmentation.size;
  const sx = fullWidth / width, sy = fullHeight / height;
  const column = new Map();
  for (let x = 0; x < width; x++) {
    const source = Math.floor((x + .5) * sx);
    column.set(source, [...(column.get(source) || []), x]);
  }
  const spans = [];
  let left = width, right = -1, upper = height, lower = -1, start = 0, pixels = 0;
  decodeCounts(segmentation.counts).forEach((run, i) => {
    if (i % 2 === 1) {
      pixels += run;
      for (let at = start; at < start + run;) {
        const x = Math.floor(at / fullHeight), end = Math.min(start + run, (x + 1) * fullHeight);
        const y0 = Math.max(0, Math.ceil((at - x * fullHeight) / sy - .5)), y1 = Math.ceil((end - x * fullHeight) / sy - .5);
        for (const shown of column.get(x) || []) {
          if (y1 <= y0) continue;
          spans.push([shown, y0, Math.min(y1, height)]);
          left = Math.min(left, shown); right = Math.max(right, shown);
          upper = Math.min(upper, y0); lower = Math.max(lower, y1 - 1);
        }
        at = end;
      }
    }
    start += run;
  });
  const w = Math.max(0, right - left + 1), h = Math.max(0, Math.min(lower, height - 1) - upper + 1);
  const bits = new Uint8Array(w * h);
  for (const [x, y0, y1] of spans) for (let y = y0; y < y1; y++) bits[(y - upper) * w + x - left] = 1;
  return { x: left, y: upper, w, h, bits, pixels };
}

function contains(mask, x, y) {
  x -= mask.x; y -= mask.y;
  return x >= 0 && y >= 0 && x < mask.w && y < mask.h && mask.bits[y * mask.w + x] === 1;
}

function paint(image, mask, alpha, edgeAlpha) {
  const { data, width } = image;
  for (let y = 0; y < mask.h; y++) for (let x = 0; x < mask.w; x++) {
    const at = y * mask.w + x;
    if (!mask.bits[at]) continue;
    const edge = (x ? !mask.bits[at - 1] : mask.x > 0) || (x < mask.w - 1 ? !mask.bits[at + 1] : mask.x + mask.w < width) ||
      (y ? !mask.bits[at - mask.w] : mask.y > 0) || (y < mask.h - 1 ? !mask.bits[at + mask.w] : mask.y + mask.h < image.height);
    const a = edge ? edgeAlpha : alpha, light = edge ? 50 : 0;
    const o = ((mask.y + y) * width + mask.x + x) * 4, below = data[o + 3] / 255, out = a + below * (1 - a);
    if (out === 0) continue;
    for (let c = 0; c < 3; c++) {
      const color = Math.min(255, mask.color[c] + light);
      data[o + c] = (color * a + data[o + c] * below * (1 - a)) / out;
    }
    data[o + 3] = out * 255;
  }
}

// Black of this opacity over the mask.
function shade(image, mask, alpha) {
  for (let y = 0; y < mask.h; y++) for (let x = 0; x < mask.w; x++)
    if (mask.bits[y * mask.w + x]) image.data.set([0, 0, 0, alpha], ((mask.y + y) * image.width + mask.x + x) * 4);
}

const value = id => Number($(id).value);
const ratio = mask => Math.log(Math.max(1, mask.fields.area)) / Math.log(state.width * state.height);
const areaAt = slider => Math.round((state.width * state.height) ** slider);
// Of masks that no model has scored -1 is written; people have made them, so they pass.
const score = (mask, id) => mask.fields.stability_score < 0 ? 1 : mask.fields[id];
const ofLevel = mask => value('level') < 0 || mask.depth === value('level');
const visible = mask => ofLevel(mask) && ratio(mask) >= value('area_min') - 1e-9 && ratio(mask) <= value('area_max') + 1e-9 &&
  score(mask, 'predicted_iou') >= value('predicted_iou') - 1e-9 && score(mask, 'stability_score') >= value('stability_score') - 1e-9;

function render() {
  const { width, height } = $('bottom'), shown = state.masks.filter(visible);
  $('area_min').parentElement.querySelector('output').textContent = areaAt(value('area_min')).toLocaleString('en') + ' px';
  $('area_max').parentElement.querySelector('output').textContent = areaAt(value('area_max')).toLocaleString('en') + ' px';
  for (const id of ['predicted_iou', 'stability_score', 'opacity'])
    $(id).parentElement.querySelector('output').textContent = value(id).toFixed(id === 'opacity' ? 2 : 3);
  const levels = ['0: wholes', '1: parts'];
  $('level').parentElement.querySelector('output').textContent = value('level') < 0 ? 'all' : levels[value('level')] || value('level') + ': parts of parts';
  $('count').textContent = `${shown.length} of ${state.masks.length} masks`;
  const image = bottom.createImageData(width, height);
  if ($('masks').checked) for (const mask of shown) {
    const share = Math.sqrt(mask.pixels / (state.width * state.height));
    paint(image, mask, value('opacity') * (1 - share * .67), Math.min(1, value('opacity') * 2));
  }
  bottom.putImageData(image, 0, 0);
  const scale = width / state.width;
  for (const mask of shown) {
    const { bbox, point_coords } = mask.fields;
    bottom.strokeStyle = bottom.fillStyle = `rgb(${mask.color})`;
    bottom.lineWidth = Math.max(1.5, width / 700);
    if ($('boxes').checked) bottom.strokeRect(bbox[0] * scale, bbox[1] * scale, (bbox[2] + 1) * scale, (bbox[3] + 1) * scale);
    if ($('points').checked) for (const [x, y] of point_coords) {
      bottom.beginPath(); bottom.arc(x * scale, y * scale, width / 220, 0, 7); bottom.fill();
      bottom.strokeStyle = '#fff'; bottom.stroke();
    }
  }
  highlight();
}

function highlight() {
  const mask = state.pinned || state.hovered, { width, height } = $('top');
  top_.clearRect(0, 0, width, height);
  $('fields').replaceChildren();
  $('none').hidden = mask !== null;
  $('stage').dataset.mask = mask ? mask.fields.id : '';
  $('stage').dataset.parent = mask && mask.parent ? mask.parent.fields.id : '';
  $('stage').dataset.children = mask ? mask.children.map(child => child.fields.id).join(' ') : '';
  if (!mask) return;
  // Around the mask it is dark, inside its parent less so; the parent has an outline, children are filled.
  const image = top_.createImageData(width, height);
  for (let i = 3; i < image.data.length; i += 4) image.data[i] = 110;
  if (mask.parent) { shade(image, mask.parent, 55); paint(image, mask.parent, 0, 1); }
  shade(image, mask, 0);
  paint(image, mask, .25, 1);
  for (const child of mask.children) paint(image, child, .5, 1);
  top_.putImageData(image, 0, 0);
  const round = v => Array.isArray(v) ? '[' + v.map(round).join(', ') + ']' : typeof v === 'number' && !Number.isInteger(v) ? Number(v.toFixed(4)) : v;
  const { segmentation, ...fields } = mask.fields;
  fields['share of image'] = (100 * mask.pixels / (state.width * state.height)).toFixed(2) + ' %';
  fields['level'] = `${mask.level}, depth ${mask.depth}`;
  fields['parent'] = mask.parent ? mask.parent.fields.id : 'none';
  fields['children'] = mask.children.length ? mask.children.map(child => child.fields.id).join(', ') : 'none';
  if (mask.fields.stability_score < 0) fields['predicted_iou'] = fields['stability_score'] = 'none: made by people';
  fields['runs'] = decodeCounts(segmentation.counts).length;
  for (const [key, field] of Object.entries(fields)) {
    const dt = document.createElement('dt'), dd = document.createElement('dd');
    dt.textContent = key; dd.textContent = String(round(field));
    if (key === 'id') { const chip = document.createElement('span'); chip.id = 'chip'; chip.style.background = `rgb(${mask.color})`; dd.prepend(chip); }
    $('fields').append(dt, dd);
  }
}

function open(index) {
  state.index = (index + samples.length) % samples.length;
  const sample = samples[state.index];
  Object.assign(state, { width: sample.width, height: sample.height, hovered: null, pinned: null });
  const scale = Math.min(1, 1280 / Math.max(sample.width, sample.height));
  const width = Math.max(1, Math.round(sample.width * scale)), height = Math.max(1, Math.round(sample.height * scale));
  for (const id of ['bottom', 'top']) { $(id).width = width; $(id).height = height; }
  $('image').src = sample.image;
  $('image').alt = $('name').textContent = sample.name;
  $('about').textContent = `${sample.width} × ${sample.height} · ${sample.annotations.length} masks · image ${state.index + 1} of ${samples.length}`;
  const { parents, depth, levels } = sample.tree;
  state.masks = sample.annotations.map((fields, i) => ({ fields, color: sample.colors[i], depth: depth[i], level: levels[i], children: [], ...drawMask(fields.segmentation, width, height) }));
  const masks = [...state.masks];
  masks.forEach((mask, i) => { mask.parent = masks[parents[i]] || null; if (mask.parent) mask.parent.children.push(mask); });
  for (const mask of masks) mask.children.sort((a, b) => b.pixels - a.pixels);
  $('level').max = Math.max(0, ...depth);
  $('level').value = Math.min(Number($('level').dataset.kept || -1), $('level').max);
  state.masks.sort((a, b) => b.pixels - a.pixels);
  for (const id of ['predicted_iou', 'stability_score']) {
    const scores = state.masks.map(mask => score(mask, id)), slider = $(id), kept = Number(slider.dataset.kept || 0);
    slider.min = Math.floor(Math.min(1, ...scores) * 100) / 100; slider.max = Math.ceil(Math.max(1, ...scores) * 1000) / 1000;
    slider.value = Math.max(kept, slider.min);
  }
  history.replaceState(null, '', '#' + (state.index + 1));
  [...$('strip').children].forEach((button, i) => button.setAttribute('aria-current', String(i === state.index)));
  $('strip').children[state.index].scrollIntoView({ block: 'nearest', inline: 'nearest' });
  layout(); render();
}

function layout() {
  const room = document.querySelector('main'), sample = samples[state.index];
  const scale = Math.min((room.clientWidth - 32) / sample.width, (room.clientHeight - 32) / sample.height);
  $('stage').style.width = sample.width * scale + 'px'; $('stage').style.height = sample.height * scale + 'px';
}

function maskAt(event) {
  const box = $('top').getBoundingClientRect();
  const x = Math.floor((event.clientX - box.left) / box.width * $('top').width), y = Math.floor((event.clientY - box.top) / box.height * $('top').height);
  return state.masks.filter(visible).findLast(mask => contains(mask, x, y)) || null;
}

function pin(mask) {
  if (mask) { state.pinned = mask; highlight(); }
}

function step(by) {
  const shown = state.masks.filter(visible).reverse();
  if (!shown.length) return;
  const at = shown.indexOf(state.pinned);
  state.pinned = shown[at < 0 ? (by > 0 ? 0 : shown.length - 1) : (at + by + shown.length) % shown.length];
  highlight();
}

$('top').addEventListener('mousemove', event => {
  const mask = maskAt(event);
  if (mask !== state.hovered) { state.hovered = mask; highlight(); }
});
$('top').addEventListener('mouseleave', () => { state.hovered = null; highlight(); });
$('top').addEventListener('click', event => { const mask = maskAt(event); state.pinned = mask === state.pinned ? null : mask; highlight(); });
for (const id of ['predicted_iou', 'stability_score', 'level']) $(id).addEventListener('input', () => { $(id).dataset.kept = $(id).value; });
for (const input of document.querySelectorAll('aside input')) input.addEventListener('input', render);
$('previous').addEventListener('click', () => open(state.index - 1));
$('next').addEventListener('click', () => open(state.index + 1));
addEventListener('resize', layout);
addEventListener('hashchange', () => open((parseInt(location.hash.slice(1)) || 1) - 1));
addEventListener('keydown', event => {
  const slider = event.target.type === 'range';
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === 'ArrowRight' && !slider) open(state.index + 1);
  else if (event.key === 'ArrowLeft' && !slider) open(state.index - 1);
  else if (event.key === 'ArrowUp' && !slider) pin((state.pinned || state.hovered)?.parent);
  else if (event.key === 'ArrowDown' && !slider) pin((state.pinned || state.hovered)?.children[0]);
  else if (event.key === ']') step(1);
  else if (event.key === '[') step(-1);
  else if (event.key === 'Escape') { state.pinned = null; highlight(); }
  else if ('mbp'.includes(event.key)) { const box = $({ m: 'masks', b: 'boxes', p: 'points' }[event.key]); box.checked = !box.checked; render(); }
  else return;
  event.preventDefault();
});
samples.forEach((sample, i) => {
  const button = document.createElement('button'), image = document.createElement('img');
  image.src = sample.thumbnail; image.alt = sample.name; button.append(image);
  button.addEventListener('click', () => open(i));
  $('strip').append(button);
});
open((parseInt(location.hash.slice(1)) || 1) - 1);
