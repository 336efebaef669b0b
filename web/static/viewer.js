"use strict";
// Moves and enlarges the picture of a master: tiles of it are drawn on a canvas, and the pixel under the pointer is told.
// Without it the page shows the whole picture.

const viewer = document.getElementById("viewer");
const readout = document.querySelector(".readout");
const { tiles, pixel, unit } = viewer.dataset;
const [rows, columns, tile, mostLevel] = ["rows", "columns", "tile", "level"].map((name) => Number(viewer.dataset[name]));

const canvas = document.createElement("canvas");
canvas.tabIndex = 0;
canvas.setAttribute("role", "application");
canvas.setAttribute("aria-label", `${viewer.querySelector("img").alt}: drag or arrow keys move it, the wheel, + and − enlarge it, 0 shows all`);
const pen = canvas.getContext("2d");
const loaded = new Map();  // addresses of tiles → images, the last used at the end
const MOST_LOADED = 200;
let scale = 1, left = 0, top_ = 0;  // screen pixels a pixel; what is at the upper left corner, in pixels from the upper left

const buttons = document.createElement("p");
buttons.className = "view-buttons";
for (const [text, name, act] of [
  ["+", "enlarge", () => zoom(2)], ["−", "make smaller", () => zoom(0.5)],
  ["whole", "show all of it", whole], ["1:1", "one pixel of the screen for each", () => zoom(1 / scale)],
]) {
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: text, title: name });
  button.setAttribute("aria-label", name);
  button.addEventListener("click", act);
  buttons.append(button);
}
viewer.before(buttons);
viewer.replaceChildren(canvas);
document.querySelector(".whole-only").hidden = true;

const fit = () => Math.min(canvas.width / columns, canvas.height / rows);

function size() {
  const wide = viewer.clientWidth;
  const high = Math.round(Math.max(240, Math.min(innerHeight - 120, Math.max(wide * rows / columns, 240))));
  const isWhole = canvas.dataset.sized === undefined || Math.abs(scale - fit()) < 1e-9;
  [canvas.width, canvas.height] = [wide, high];
  canvas.dataset.sized = "";
  if (isWhole) whole();
  else draw();
}

function whole() {
  scale = fit();
  [left, top_] = [(columns - canvas.width / scale) / 2, (rows - canvas.height / scale) / 2];
  draw();
}

function zoom(by, x = canvas.width / 2, y = canvas.height / 2) {
  const next = Math.min(Math.max(scale * by, Math.min(fit(), 1)), 64);
  left += x / scale - x / next;
  top_ += y / scale - y / next;
  scale = next;
  draw();
}

function move(x, y) {
  left = Math.min(Math.max(left - x / scale, -canvas.width / scale / 2), columns - canvas.width / scale / 2);
  top_ = Math.min(Math.max(top_ - y / scale, -canvas.height / scale / 2), rows - canvas.height / scale / 2);
  draw();
}

let isDue = false;
function draw() {
  if (!isDue) requestAnimationFrame(paint);
  isDue = true;
}

function paint() {
  isDue = false;
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.imageSmoothingEnabled = false;
  const level = Math.min(Math.max(0, Math.floor(-Math.log2(scale) + 1e-6)), mostLevel);
  const step = tile * 2 ** level;
  // Tiles are counted from the first row, which is the lowest on the screen.
  const lowest = rows - top_ - canvas.height / scale, highest = rows - top_;
  for (let row = Math.max(0, Math.floor(lowest / step)); row * step < Math.min(rows, highest); row++)
    for (let column = Math.max(0, Math.floor(left / step)); column * step < Math.min(columns, left + canvas.width / scale); column++)
      paintTile(level, row, column, step);
}

function paintTile(level, row, column, step) {
  const address = `${tiles}/${level}/${row}/${column}.png`;
  const image = loaded.get(address) ?? Object.assign(new Image(), { src: address, onload: draw });
  loaded.delete(address);
  loaded.set(address, image);
  if (loaded.size > MOST_LOADED) loaded.delete(loaded.keys().next().value);
  if (!image.complete || !image.naturalWidth) return;
  const cell = 2 ** level * scale;
  const x = (column * step - left) * scale, bottom = (rows - row * step - top_) * scale;
  const high = image.naturalHeight * cell;
  pen.drawImage(image, x, bottom - high, image.naturalWidth * cell, high);
}

let asked = "", timer = 0, drag = null;
function tell(event) {
  const box = canvas.getBoundingClientRect();
  const x = Math.floor(left + (event.clientX - box.left) / scale) + 1;
  const y = rows - Math.floor(top_ + (event.clientY - box.top) / scale);
  const address = `${pixel}?x=${x}&y=${y}`;
  if (address === asked || x < 1 || y < 1 || x > columns || y > rows) return;
  asked = address;
  clearTimeout(timer);
  timer = setTimeout(async () => {
    const answer = await fetch(address);
    if (!answer.ok || address !== asked) return;
    const { mask, combined, x: _, y: __, ...values } = await answer.json();
    const said = Object.entries(values).map(([name, value]) => `${name} ${value === null ? "none" : Number(value.toPrecision(6))} ${unit}`);
    if (combined !== undefined) said.push(`${combined} frames`);
    readout.textContent = [`(${x}, ${y})`, ...said, mask.length ? `masked: ${mask.join(", ").replaceAll("_", " ")}` : "not masked"].join(" · ");
  }, 40);
}

canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(event.deltaY < 0 ? 1.25 : 0.8, event.offsetX, event.offsetY);
}, { passive: false });
canvas.addEventListener("pointerdown", (event) => {
  drag = [event.clientX, event.clientY];
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", (event) => {
  if (drag) {
    move(event.clientX - drag[0], event.clientY - drag[1]);
    drag = [event.clientX, event.clientY];
  }
  tell(event);
});
for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { drag = null; });
canvas.addEventListener("dblclick", (event) => zoom(2, event.offsetX, event.offsetY));
canvas.addEventListener("keydown", (event) => {
  const act = {
    ArrowLeft: () => move(60, 0), ArrowRight: () => move(-60, 0), ArrowUp: () => move(0, 60), ArrowDown: () => move(0, -60),
    "+": () => zoom(2), "=": () => zoom(2), "-": () => zoom(0.5), 0: whole,
  }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
addEventListener("resize", size);
size();
