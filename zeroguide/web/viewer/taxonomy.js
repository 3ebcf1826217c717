// The labels of a run: found, selected, renamed, joined. Runs inside Gradio's HTML component, see
// state.js. The server sends props.value (labels, what came of a change) and props.examples (pictures),
// both JSON; see taxonomy.py. What comes from labels goes into textContent, never into HTML.

const find = (selector) => element.querySelector(selector);
const make = (tag, className, text) => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
};
const count = (number, thing) => `${number.toLocaleString("en")} ${thing}${number === 1 ? "" : "s"}`;
const STEP = 60; // labels that are listed at once

let state = null; // {run, images, labels: [[label, segments, images], ...], undo}
let listed = STEP;
let busy = false;
const selected = new Set();
const pictures = new Map(); // label -> data URLs
const asked = new Set(); // labels whose pictures are on their way

const search = find("input[type=search]");
const change = find(".zg-change");
const field = find(".zg-change input");
const apply = find(".zg-change [type=submit]");
const undo = find(".zg-undo");
const list = find(".zg-labels");

const found = () => {
  const words = search.value.trim().toLowerCase();
  return state.labels.filter(([label]) => label.toLowerCase().includes(words));
};

function drawLabels() {
  const at = document.activeElement?.closest?.(".zg-labels") ? document.activeElement.value : null;
  const all = found();
  list.replaceChildren(...all.slice(0, listed).map(makeLabel));
  if (at !== null) [...list.querySelectorAll("input")].find((box) => box.value === at)?.focus({ preventScroll: true });
  const more = find(".zg-more");
  more.hidden = all.length <= listed;
  more.textContent = `Show ${Math.min(STEP, all.length - listed)} more of ${count(all.length - listed, "label")}`;
  if (!all.length) list.append(make("li", "zg-hint", state.labels.length ? "No label is called so." : "There are no labels."));
}

function makeLabel([label, segments, images]) {
  const item = make("li");
  const card = make("label", "zg-card");
  const box = make("input");
  box.type = "checkbox";
  box.value = label;
  box.checked = selected.has(label);
  box.addEventListener("change", () => pick(label, box.checked));
  const words = make("span", "zg-words");
  words.append(make("span", "zg-label", label), make("span", "zg-remark", `${count(segments, "segment")} in ${count(images, "image")}`));
  const tiles = make("span", "zg-tiles");
  tiles.dataset.label = label;
  card.append(box, words, tiles);
  card.classList.toggle("zg-on", box.checked);
  fill(tiles);
  item.append(card);
  return item;
}

function fill(tiles) {
  const known = pictures.get(tiles.dataset.label);
  if (!known) {
    sight.observe(tiles);
    return;
  }
  tiles.replaceChildren(
    ...known.map((src) => {
      const picture = make("img");
      picture.src = src;
      picture.alt = ""; // the label beside it says what it is
      return picture;
    }),
  );
}

// Pictures are asked for when their label comes into sight.
let waiting = null;
const sight = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    sight.unobserve(target);
    if (!pictures.has(target.dataset.label)) asked.add(target.dataset.label);
  }
  clearTimeout(waiting);
  waiting = setTimeout(askForPictures, 80);
});
function askForPictures() {
  const labels = [...asked];
  asked.clear();
  for (let at = 0; at < labels.length; at += props.most) trigger("select", { labels: labels.slice(at, at + props.most) });
}

function pick(label, on) {
  if (on) selected.add(label);
  else selected.delete(label);
  // The name that is proposed: of the selected ones the most frequent.
  field.value = state.labels.find(([own]) => selected.has(own))?.[0] || "";
  drawChange();
  for (const card of list.querySelectorAll(".zg-card")) card.classList.toggle("zg-on", card.querySelector("input").checked);
}

function drawChange() {
  change.hidden = !selected.size;
  find(".zg-picked").textContent = selected.size > 1 ? `Join ${selected.size} labels as` : `Rename \u201c${[...selected][0]}\u201d to`;
  apply.textContent = busy ? "Working\u2026" : selected.size > 1 ? "Join" : "Rename";
  apply.disabled = busy;
  undo.disabled = busy || !state?.undo;
}

function send(action) {
  busy = true;
  say("");
  find(".zg-note").textContent = "Changing the run\u2026";
  drawChange();
  trigger("submit", action);
}

function say(words) {
  find(".zg-alert").hidden = !words;
  find(".zg-alert").textContent = words;
}

function clear() {
  selected.clear();
  list.querySelectorAll("input").forEach((box) => (box.checked = false));
  list.querySelectorAll(".zg-on").forEach((card) => card.classList.remove("zg-on"));
  drawChange();
}

change.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!busy) send({ action: "rename", old: [...selected], new: field.value });
});
undo.addEventListener("click", () => send({ action: "undo" }));
find(".zg-none").addEventListener("click", () => {
  clear();
  search.focus({ preventScroll: true });
});
search.addEventListener("input", () => {
  listed = STEP;
  drawLabels();
});
find(".zg-more").addEventListener("click", () => {
  const first = listed;
  listed += STEP;
  drawLabels();
  list.querySelectorAll("input")[first]?.focus();
});
element.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && selected.size) {
    const last = [...selected].at(-1);
    clear();
    [...list.querySelectorAll("input")].find((box) => box.value === last)?.focus();
  }
});

function take() {
  if (!props.value) return;
  const told = JSON.parse(props.value);
  busy = false;
  say(told.error || "");
  if (told.labels) {
    const had = document.activeElement && change.contains(document.activeElement);
    state = told;
    field.maxLength = props.longest;
    if (told.said) {
      selected.clear();
      pictures.clear(); // a joined label has other examples
    }
    for (const label of selected) if (!told.labels.some(([own]) => own === label)) selected.delete(label);
    find(".zg-intro").textContent =
      `${count(told.labels.length, "label")} in ${count(told.images, "image")}. Select one to rename it, several to join them; the run\u2019s files are changed at once.`;
    find(".zg-note").textContent = told.said || "";
    drawLabels();
    if (had && told.said) search.focus({ preventScroll: true }); // what had the focus is gone
  }
  drawChange();
}

watch(["value"], take);
watch(["examples"], () => {
  if (!props.examples) return;
  for (const [label, sources] of Object.entries(JSON.parse(props.examples))) pictures.set(label, sources);
  list.querySelectorAll(".zg-tiles").forEach((tiles) => !tiles.childElementCount && pictures.has(tiles.dataset.label) && fill(tiles));
});
take();
