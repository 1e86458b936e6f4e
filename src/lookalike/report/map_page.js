"use strict";
const $ = id => document.getElementById(id), d = JSON.parse($("data").textContent);
const canvas = $("map"), pen = canvas.getContext("2d"), images = new Map(), holds = new Map();
let scale = 1, left = 0, top_ = 0, whole = 1, width = 1, height = 1, only = null, here = -1, due = false;
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const place = new Map(d.largest.map((code, i) => [code, i]));
const at = i => [(d.x[i] - left) * scale, (d.y[i] - top_) * scale];
const seen = i => only === null || d.label[i] === only;
const again = () => { if (!due) { due = true; requestAnimationFrame(draw); } };
function fit() {
  whole = Math.min(width, height) * 0.94; scale = whole;
  left = 0.5 - width / 2 / scale; top_ = 0.5 - height / 2 / scale; again();
}
function size() {
  const box = canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
  width = box.width; height = box.height; canvas.width = width * ratio; canvas.height = height * ratio;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0); fit();
}
function thumb(i) {
  if (!images.has(i)) { const image = new Image(); image.onload = again; image.src = d.thumbs[i]; images.set(i, image); }
  return images.get(i);
}
function visible() {
  const found = [];
  for (let i = 0; i < d.x.length; i++) { const [x, y] = at(i); if (x > -40 && y > -40 && x < width + 40 && y < height + 40) found.push(i); }
  return found;
}
function draw() {
  due = false; pen.clearRect(0, 0, width, height);
  const shown = visible(), large = shown.length <= 120 || scale > 12 * whole, side = Math.min(96, 40 + 4 * scale / whole);
  const colours = d.largest.map((_, i) => colour(`--k${i}`)), other = colour("--other"), ink = colour("--ink"), paper = colour("--paper");
  const rank = i => (i === here ? 3 : 0) + (seen(i) ? 1 : 0) + (place.has(d.label[i]) ? 1 : 0);
  shown.sort((a, b) => rank(a) - rank(b));
  for (const i of shown) {
    const [x, y] = at(i), k = place.get(d.label[i]), fill = k === undefined ? (only === d.label[i] ? colours[0] : other) : colours[k];
    pen.globalAlpha = seen(i) ? 1 : 0.12;
    const image = large && seen(i) && d.thumbs[i] ? thumb(i) : null;
    if (image && image.complete && image.naturalWidth) {
      const f = side / Math.max(image.naturalWidth, image.naturalHeight), w = image.naturalWidth * f, h = image.naturalHeight * f;
      pen.drawImage(image, x - w / 2, y - h / 2, w, h); pen.lineWidth = i === here ? 4 : 2; pen.strokeStyle = i === here ? ink : fill; pen.strokeRect(x - w / 2, y - h / 2, w, h);
      continue;
    }
    const r = i === here ? 7 : Math.min(6, 3 + scale / whole / 3);
    pen.fillStyle = fill; pen.beginPath();
    if (k !== undefined && k % 2) pen.rect(x - r, y - r, 2 * r, 2 * r); else pen.arc(x, y, r, 0, 7);
    pen.fill(); pen.lineWidth = i === here ? 3 : 0.75; pen.strokeStyle = i === here ? ink : paper; pen.stroke();
  }
  pen.globalAlpha = 1;
  if (here < 0 || large || !d.thumbs[here]) return;
  const image = thumb(here), [x, y] = at(here), room = 112;
  if (!image.complete || !image.naturalWidth) return;
  const f = room / Math.max(image.naturalWidth, image.naturalHeight), w = image.naturalWidth * f, h = image.naturalHeight * f;
  const a = x + 14 + w > width ? x - 14 - w : x + 14, b = y + 14 + h > height ? y - 14 - h : y + 14;
  pen.drawImage(image, a, b, w, h); pen.lineWidth = 2; pen.strokeStyle = ink; pen.strokeRect(a, b, w, h);
}
function zoom(factor, x = width / 2, y = height / 2) {
  const next = Math.max(whole * 0.5, Math.min(whole * 400, scale * factor));
  left += x / scale - x / next; top_ += y / scale - y / next; scale = next; again();
}
function show(i) {
  if (i === here) return;
  here = i; again(); if (i < 0) return;
  const make = (name, text) => Object.assign(document.createElement(name), { textContent: text });
  const image = Object.assign(new Image(), { src: d.thumbs[i] || "data:,", alt: d.thumbs[i] ? `Image of ${d.names[d.label[i]]}` : "This image cannot be read" });
  const name = make("p", d.files[i]); name.className = "soft";
  $("card").replaceChildren(image, make("p", d.names[d.label[i]]), name);
}
function nearest(x, y) {
  let best = -1, least = 26 ** 2;
  for (let i = 0; i < d.x.length; i++) { if (!seen(i)) continue; const [a, b] = at(i), far = (a - x) ** 2 + (b - y) ** 2; if (far < least) { least = far; best = i; } }
  return best;
}
function choose(code) {
  only = code; $("pick").value = code === null ? "" : String(code);
  for (const b of $("legend").querySelectorAll("button")) b.setAttribute("aria-pressed", String(Number(b.value) === code && code !== null));
  again();
}
function step(by) {
  const order = d.x.map((_, i) => i).filter(seen); if (!order.length) return;
  const now = order.indexOf(here), i = order[(now < 0 ? (by > 0 ? 0 : order.length - 1) : now + by + order.length) % order.length];
  left = d.x[i] - width / 2 / scale; top_ = d.y[i] - height / 2 / scale; show(i); again();
}
const spot = e => { const b = canvas.getBoundingClientRect(); return [e.clientX - b.left, e.clientY - b.top]; };
canvas.addEventListener("wheel", e => { e.preventDefault(); zoom(Math.exp(-e.deltaY / 400), ...spot(e)); }, { passive: false });
canvas.addEventListener("pointerdown", e => { canvas.setPointerCapture(e.pointerId); holds.set(e.pointerId, spot(e)); canvas.classList.add("held"); });
for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, e => { holds.delete(e.pointerId); if (!holds.size) canvas.classList.remove("held"); });
canvas.addEventListener("pointermove", e => {
  const [x, y] = spot(e);
  if (!holds.has(e.pointerId)) return show(nearest(x, y));
  const [a, b] = holds.get(e.pointerId);
  if (holds.size === 2) {
    const [, o] = [...holds].find(([id]) => id !== e.pointerId);
    zoom(Math.hypot(x - o[0], y - o[1]) / Math.max(1, Math.hypot(a - o[0], b - o[1])), o[0], o[1]);
  } else { left -= (x - a) / scale; top_ -= (y - b) / scale; again(); }
  holds.set(e.pointerId, [x, y]);
});
canvas.addEventListener("keydown", e => {
  const by = 60 / scale, keys = { ArrowLeft: () => { left -= by; }, ArrowRight: () => { left += by; }, ArrowUp: () => { top_ -= by; }, ArrowDown: () => { top_ += by; },
    "+": () => zoom(1.4), "=": () => zoom(1.4), "-": () => zoom(1 / 1.4), 0: fit, n: () => step(1), p: () => step(-1), Escape: () => choose(null) };
  if (e.ctrlKey || e.metaKey || e.altKey || !keys[e.key]) return;
  keys[e.key](); e.preventDefault(); again();
});
for (const [code, i] of place) {
  const swatch = document.createElement("i"); swatch.style.background = `var(--k${i})`; if (i % 2) swatch.className = "square";
  const button = Object.assign(document.createElement("button"), { type: "button", value: code }); button.append(swatch, `${d.names[code]} (${d.counts[code]})`);
  button.setAttribute("aria-pressed", "false"); button.onclick = () => choose(only === code ? null : code);
  const item = document.createElement("li"); item.append(button); $("legend").append(item);
}
d.names.forEach((name, code) => $("pick").append(Object.assign(document.createElement("option"), { value: code, textContent: `${name} (${d.counts[code]})` })));
$("pick").onchange = () => choose($("pick").value === "" ? null : Number($("pick").value));
$("in").onclick = () => zoom(1.6); $("out").onclick = () => zoom(1 / 1.6); $("all").onclick = fit;
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
new ResizeObserver(size).observe(canvas); size();
