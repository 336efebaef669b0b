"use strict";
// What makes trend plots answer to the pointer and the keyboard. Everything is there without it, but for that.

const tip = Object.assign(document.createElement("div"), { className: "tip", hidden: true });
tip.setAttribute("role", "status");
document.body.append(tip);

const svg = (name, attributes) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};

for (const plot of document.querySelectorAll("svg.trend")) {
  const dots = [...plot.querySelectorAll(".dots a")];
  const places = dots.map((dot) => {
    const mark = dot.lastElementChild;
    return [parseFloat(mark.getAttribute("cx") ?? mark.getAttribute("x")) / 100,
            parseFloat(mark.getAttribute("cy") ?? mark.getAttribute("y"))];
  });
  let pointed = -1, pressed = null, zoom = null;

  const box = () => plot.querySelector(".frame").getBoundingClientRect();

  function point(index) {
    if (pointed >= 0) dots[pointed].classList.remove("pointed");
    pointed = index;
    tip.hidden = index < 0;
    if (index < 0) return;
    dots[index].classList.add("pointed");
    tip.textContent = dots[index].getAttribute("aria-label");
    const frame = box(), [x, y] = places[index];
    const left = Math.min(frame.left + x * frame.width + 12, document.documentElement.clientWidth - tip.offsetWidth - 8);
    tip.style.left = `${Math.max(8, left) + scrollX}px`;
    tip.style.top = `${frame.top + y + scrollY + 14}px`;
  }

  function nearest(event) {
    const frame = box();
    let best = -1, least = 30 ** 2;
    places.forEach(([x, y], index) => {
      const distance = (frame.left + x * frame.width - event.clientX) ** 2 + (frame.top + y - event.clientY) ** 2;
      if (distance < least) [best, least] = [index, distance];
    });
    return best;
  }

  const along = (event) => {
    const frame = box();
    return Math.min(Math.max((event.clientX - frame.left) / frame.width, 0), 1);
  };

  plot.addEventListener("pointerdown", (event) => {
    if (event.button === 0 && event.pointerType === "mouse") pressed = along(event);
  });
  plot.addEventListener("pointermove", (event) => {
    if (pressed === null || Math.abs(along(event) - pressed) < 0.01) return point(nearest(event));
    point(-1);
    if (!zoom) {
      zoom = svg("rect", { class: "zoom", height: "100%" });
      plot.append(zoom);
    }
    zoom.setAttribute("x", `${100 * Math.min(pressed, along(event))}%`);
    zoom.setAttribute("width", `${100 * Math.abs(along(event) - pressed)}%`);
  });
  plot.addEventListener("dragstart", (event) => event.preventDefault());
  addEventListener("pointerup", (event) => {
    if (zoom) look(Math.min(pressed, along(event)), Math.max(pressed, along(event)));
    pressed = null;
  });
  plot.addEventListener("pointerleave", () => { if (pressed === null) point(-1); });
  plot.addEventListener("click", (event) => {
    if (zoom) event.preventDefault();
    else if (pointed >= 0 && !event.target.closest("a")) dots[pointed].dispatchEvent(new MouseEvent("click", event));
  });
  plot.addEventListener("keydown", (event) => {
    const to = { ArrowRight: pointed + 1, ArrowLeft: pointed < 0 ? dots.length - 1 : pointed - 1, Home: 0, End: dots.length - 1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      point(Math.min(Math.max(to, 0), dots.length - 1));
    } else if (event.key === "Enter" && pointed >= 0) location.assign(dots[pointed].getAttribute("href"));
    else if (event.key === "Escape") point(-1);
  });
  plot.addEventListener("blur", () => point(-1));

  function look(from, to) {
    const first = Date.parse(plot.dataset.first), last = Date.parse(plot.dataset.last);
    const asked = new URLSearchParams(location.search);
    for (const [name, place] of [["since", from], ["until", to]])
      asked.set(name, new Date(first + place * (last - first)).toISOString().slice(0, 16));
    location.search = asked;
  }
}

// Steps and drifts take a moment to find: they are asked for when the page has been painted.
const changes = document.getElementById("changes");
if (changes) requestAnimationFrame(() => setTimeout(showChanges));

async function showChanges() {
  const text = await (await fetch(changes.dataset.address)).text();
  const found = new DOMParser().parseFromString(text, "text/html").querySelector("main h1 ~ :last-child");
  if (!found) return;
  changes.querySelector("p").replaceWith(found);
  for (const row of found.querySelectorAll("[data-at]"))
    for (const plot of document.querySelectorAll("svg.trend"))
      if (plot.dataset.series === row.dataset.series) mark(plot, row.dataset);
}

function mark(plot, { at, text }) {
  const first = Date.parse(plot.dataset.first), last = Date.parse(plot.dataset.last);
  const place = 100 * (Date.parse(at) - first) / (last - first), x = `${place}%`;
  const side = place > 70 ? { class: "step before", dx: -4 } : { class: "step", dx: 4 };
  const taken = [...plot.querySelectorAll("text.step")].map((one) => one.getBoundingClientRect());
  const label = svg("text", { ...side, x });
  label.textContent = text;
  plot.querySelector(".dots").before(svg("line", { class: "step", x1: x, x2: x, y2: "100%" }), label);
  // Where there is no room for its words, the line says where it is, and the table below says the rest.
  const isFree = (y) => {
    label.setAttribute("y", y);
    const box = label.getBoundingClientRect();
    return taken.every((one) => box.right < one.left || one.right < box.left || box.bottom <= one.top || one.bottom <= box.top);
  };
  if (![12, 25, 38, 51].some(isFree)) label.remove();
}

// What waits, and until when, is asked for again and again while somebody looks, and so are pictures while they are drawn.
const EVERY_MS = 5000;
if (document.getElementById("now")) setInterval(() => renew("/now", "#now"), EVERY_MS);
if (document.getElementById("drawing")) awaitPictures();

async function awaitPictures() {
  while (document.getElementById("drawing")) {
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS / 2));
    await renew(location.href, "#drawing", "#content > .pictures, #drawing");
  }
}

async function renew(address, what, by = what) {
  if (document.hidden) return;
  try {
    const answer = await fetch(address);
    if (!answer.ok) return;
    const found = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(by);
    const shown = document.querySelector(what);
    if (!shown.contains(document.activeElement)) shown.replaceWith(found ?? "There are none.");
  } catch {
    // The service is away for a moment: what was shown last stays.
  }
}
