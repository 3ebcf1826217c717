// The picture with its segments, and what can be done to them. Runs inside Gradio's HTML component,
// which gives `element`, `props`, `trigger(event, data)` and `watch(names, callback)`. The server
// sends props.scene (what stays: picture, over-segments, edges) and props.value (what changes), both
// JSON; see view.py. Everything that comes from a user goes into textContent, never into HTML.

const find = (selector) => element.querySelector(selector);
const make = (tag, className, text) => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
};
const makeSvg = (tag, attributes) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
};
const percent = (share) => {
  const value = 100 * share;
  return value > 0 && value < 0.95 ? "< 1 %" : `${Math.round(value)} %`;
};
const STEPS = {
  queue: "Waiting for its turn",
  models: "Loading the models",
  segments: "Finding segments",
  embeddings: "Looking at each segment",
  names: "Finding names",
  merging: "Joining what is alike",
};
const SOURCES = {
  network: "",
  estimate: "estimated from its parts",
  hand: "named by hand",
};
const HINT = "Pick a segment in the picture or in the list to rename it or join it with another.";

const parse = (text) => (text ? JSON.parse(text) : null);
let scene = null;
let state = null; // {segments, threshold, undo}
let stage = "merged";
let selected = null; // an over-segment of the selected segment
let joining = false;
let dragging = false;

const image = find(".zg-frame img");
const svg = find("svg");
const tip = find(".zg-tip");
const slider = find(".zg-slider input");

// ---------------------------------------------------------------------------------- what is shown

const shown = () => (stage === "merged" ? state.segments : scene.over);
const confident = (segment) =>
  segment.source === "hand" ? "sure" : `${percent(segment.confidence)} sure`;
const describe = (segment) =>
  [segment.label, confident(segment), SOURCES[segment.source]].filter(Boolean).join(", ");
const current = () => {
  if (selected === null || !state) return null;
  return state.segments.find((segment) => segment.parts.includes(selected)) || null;
};

function drawPicture() {
  const [width, height] = scene.box;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  find(".zg-frame").dataset.stage = stage;
  const halos = makeSvg("g", { class: "zg-halos" });
  const fills = makeSvg("g", { class: "zg-fills" });
  const lines = makeSvg("g", { class: "zg-lines" });
  shown().forEach((segment, number) => {
    const fill = makeSvg("path", {
      d: segment.path,
      fill: segment.colour,
      class: "zg-segment",
      tabindex: "0",
      role: stage === "merged" ? "button" : "img",
      "aria-label": describe(segment),
      "data-number": number,
    });
    if (stage === "merged" && segment === current()) fill.classList.add("zg-selected");
    fills.append(fill);
    halos.append(makeSvg("path", { d: segment.path }));
    lines.append(makeSvg("path", { d: segment.path }));
  });
  svg.append(fills, halos, lines);
  if (stage === "merged" && current())
    svg.append(makeSvg("path", { d: current().path, class: "zg-ring" }));
  if (stage === "graph") drawGraph();
  drawNames();
}

function drawGraph() {
  const group = makeSvg("g", { class: "zg-graph" });
  const strongest = new Map(); // of every node, so that a dense graph stays readable
  for (const edge of scene.edges)
    for (const node of [edge[0], edge[1]])
      strongest.set(node, [...(strongest.get(node) || []), edge].sort((a, b) => b[2] - a[2]).slice(0, 2));
  const kept = new Set([...strongest.values()].flat());
  const unit = scene.box[0] / Math.max(1, image.clientWidth); // of the drawing, per pixel on screen
  for (const edge of scene.edges) {
    const [a, b] = [scene.over[edge[0]].place, scene.over[edge[1]].place];
    const joins = edge[2] >= state.threshold;
    if (!a || !b || !(joins || kept.has(edge))) continue;
    const ends = { x1: a[0], y1: a[1], x2: b[0], y2: b[1] };
    const line = makeSvg("line", { ...ends, class: joins ? "zg-joins" : "zg-apart" });
    const title = makeSvg("title", {});
    title.textContent = `${scene.over[edge[0]].label} and ${scene.over[edge[1]].label}: ${edge[2].toFixed(2)}`;
    line.append(title);
    group.append(line);
  }
  for (const segment of scene.over)
    if (segment.place) {
      const [cx, cy] = segment.place;
      group.append(makeSvg("circle", { cx, cy, r: 5 * unit, fill: segment.colour }));
    }
  svg.append(group);
}

// Names where they find room, the largest segments first; else the number in the list.
function drawNames() {
  const layer = find(".zg-names");
  layer.replaceChildren();
  if (stage === "graph" || !image.clientWidth) return;
  const scale = image.clientWidth / scene.box[0];
  const [width, height] = [image.clientWidth, image.clientHeight];
  const taken = [];
  const order = shown().map((segment, number) => [segment, number]);
  order.sort((a, b) => b[0].share - a[0].share);
  for (const [segment, number] of order) {
    if (!segment.place) continue;
    const name = make("span", "zg-name", segment.label);
    name.style.background = segment.colour;
    name.style.color = segment.ink;
    layer.append(name);
    let box = room(name, segment, scale, width, height, taken);
    if (!box) {
      name.textContent = String(number + 1);
      box = room(name, segment, scale, width, height, taken);
    }
    if (!box) {
      name.remove();
      continue;
    }
    taken.push(box);
    name.style.left = `${box[0]}px`;
    name.style.top = `${box[1]}px`;
  }
}

function room(name, segment, scale, width, height, taken) {
  const [w, h] = [name.offsetWidth, name.offsetHeight];
  const [x, y, radius] = segment.place.map((value) => value * scale);
  if (radius < 7) return null;
  for (const dy of [0, -0.8 * h, 0.8 * h]) {
    if (Math.abs(dy) > radius) continue;
    const left = Math.min(Math.max(2, x - w / 2), width - w - 2);
    const top = Math.min(Math.max(2, y + dy - h / 2), height - h - 2);
    const box = [left, top, left + w, top + h];
    if (left < 0 || Math.abs(left + w / 2 - x) > Math.max(radius, 0.35 * w)) continue;
    if (taken.every((b) => box[0] >= b[2] + 2 || b[0] >= box[2] + 2 || box[1] >= b[3] + 2 || b[1] >= box[3] + 2))
      return box;
  }
  return null;
}

function drawList() {
  const list = find(".zg-list");
  list.replaceChildren();
  const [now, before] = [state.segments.length, scene.over.length];
  find(".zg-head h3").textContent = now === 1 ? "1 segment" : `${now} segments`;
  const notes = {
    merged: `${before} over-segments became ${now}.` + scene.notes.map((note) => ` ${note}.`).join(""),
    over: "What the picture was cut into, before anything was joined.",
    graph: "Yellow: alike enough to be joined. Dotted: the two most alike of each.",
  };
  find(".zg-note").textContent = notes[stage];
  find(".zg-undo").disabled = !state.undo;
  state.segments.forEach((segment, number) => {
    const button = make("button", "zg-row");
    button.type = "button";
    button.dataset.number = number;
    button.setAttribute("aria-pressed", String(segment === current()));
    button.setAttribute("aria-label", `${describe(segment)}, ${percent(segment.share)} of the picture`);
    const swatch = make("span", "zg-swatch", String(number + 1));
    swatch.style.background = segment.colour;
    swatch.style.color = segment.ink;
    const words = make("span", "zg-words");
    words.append(make("span", "zg-label", segment.label));
    const about = [SOURCES[segment.source], segment.fixed && segment.source !== "hand" ? "joined by hand" : ""];
    if (segment.fixed && segment.source === "network") about[1] = "kept as it is";
    const remark = about.filter(Boolean).join(", ");
    if (remark) words.append(make("span", "zg-remark", remark));
    const sure = make("span", "zg-sure");
    sure.title = "how sure the name is";
    const bar = make("span", "zg-meter");
    bar.style.setProperty("--sure", segment.source === "hand" ? 1 : segment.confidence);
    sure.append(bar, make("span", "", segment.source === "hand" ? "you" : percent(segment.confidence)));
    button.append(swatch, words, sure);
    const item = make("li");
    item.append(button);
    list.append(item);
  });
}

function drawEditor() {
  const panel = find(".zg-edit");
  const segment = current();
  panel.replaceChildren();
  if (!segment) {
    panel.append(make("p", "zg-hint", HINT));
    return;
  }
  const form = make("form");
  const input = make("input");
  input.type = "text";
  input.value = segment.label;
  input.maxLength = 80;
  input.dataset.key = "name";
  input.setAttribute("aria-label", "Name of the segment");
  const save = make("button", "zg-primary", "Rename");
  save.type = "submit";
  save.dataset.key = "save";
  form.append(input, save);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    act({ action: "rename", part: segment.parts[0], label: input.value });
  });
  panel.append(form);
  if (segment.alternatives.length) {
    const chips = make("div", "zg-chips");
    chips.append(make("span", "", "or"));
    for (const label of segment.alternatives) {
      const chip = make("button", "", label);
      chip.type = "button";
      chip.addEventListener("click", () => act({ action: "rename", part: segment.parts[0], label }));
      chips.append(chip);
    }
    panel.append(chips);
  }
  const row = make("div", "zg-actions");
  const join = make("button", joining ? "zg-on" : "", joining ? "Now pick the other one" : "Join with…");
  join.type = "button";
  join.dataset.key = "join";
  join.disabled = state.segments.length < 2;
  join.setAttribute("aria-pressed", String(joining));
  join.addEventListener("click", () => {
    joining = !joining;
    draw();
  });
  row.append(join);
  if (segment.source === "estimate") {
    const again = make("button", "zg-again", "Name again");
    again.type = "button";
    again.title = "Let the networks look at the joined segment; takes a moment";
    again.addEventListener("click", () => {
      again.disabled = true;
      again.textContent = "Looking…";
      trigger("apply", { action: "name_again", part: segment.parts[0] });
    });
    row.append(again);
  }
  const close = make("button", "zg-close", "Done");
  close.type = "button";
  close.addEventListener("click", () => select(null));
  row.append(close);
  panel.append(row);
}

// What has the focus, as a selector that finds its successor when everything is drawn anew.
function focused() {
  const at = document.activeElement;
  if (!at || !element.contains(at)) return null;
  if (at.dataset.key) return `[data-key="${at.dataset.key}"]`;
  if (at.matches(".zg-row, .zg-segment"))
    return `.${at.matches(".zg-row") ? "zg-row" : "zg-segment"}[data-number="${at.dataset.number}"]`;
  return at.closest(".zg-edit") ? '[data-key="join"]' : null;
}

function draw() {
  if (!scene || !state) return;
  const before = focused();
  element.classList.toggle("zg-joining", joining);
  drawPicture();
  drawList();
  drawEditor();
  find(".zg-slider output").textContent = Number(slider.value).toFixed(2);
  const successor = before && find(before);
  if (successor) successor.focus({ preventScroll: true });
}

// ------------------------------------------------------------------------------ what the user does

const act = (data) => trigger("submit", data);

function select(segment) {
  if (segment && joining && current() && segment !== current()) {
    joining = false;
    act({ action: "join", parts: [current().parts[0], segment.parts[0]] });
    return;
  }
  joining = false;
  selected = segment ? segment.parts[0] : null;
  draw();
}

function point(number, event) {
  const segment = shown()[number];
  element.querySelectorAll("[data-number]").forEach((part) => {
    const inList = part.classList.contains("zg-row");
    part.classList.toggle("zg-hover", part.dataset.number === String(number) && (!inList || stage === "merged"));
  });
  tip.replaceChildren(make("strong", "", segment.label));
  tip.append(make("span", "", `${confident(segment)} · ${percent(segment.share)} of the picture`));
  if (segment.alternatives.length) tip.append(make("span", "", `or ${segment.alternatives.join(", ")}`));
  if (SOURCES[segment.source]) tip.append(make("em", "", SOURCES[segment.source]));
  tip.hidden = false;
  const frame = find(".zg-frame").getBoundingClientRect();
  const scale = frame.width / scene.box[0];
  const [x, y] = event
    ? [event.clientX - frame.left, event.clientY - frame.top]
    : (segment.place || [0, 0]).map((value) => value * scale);
  const left = Math.min(x + 14, frame.width - tip.offsetWidth - 4);
  const below = y + 18 + tip.offsetHeight < frame.height;
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${below ? y + 18 : Math.max(4, y - tip.offsetHeight - 10)}px`;
}

function unpoint() {
  tip.hidden = true;
  element.querySelectorAll(".zg-hover").forEach((part) => part.classList.remove("zg-hover"));
}

const numberOf = (event) => {
  const target = event.target.closest("[data-number]");
  return target ? Number(target.dataset.number) : null;
};
svg.addEventListener("pointermove", (event) => {
  const number = numberOf(event);
  if (number === null) unpoint();
  else point(number, event);
});
svg.addEventListener("pointerleave", unpoint);
svg.addEventListener("focusin", (event) => {
  const number = numberOf(event);
  if (number !== null && event.target.matches(":focus-visible")) point(number, null);
});
svg.addEventListener("focusout", unpoint);
const chosen = (event) => {
  const number = numberOf(event);
  if (number === null || stage !== "merged") return;
  select(state.segments[number]);
  find(".zg-edit").scrollIntoView({ block: "nearest", behavior: "smooth" }); // below, on a phone
};
svg.addEventListener("click", chosen);
svg.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" && event.key !== " ") return;
  event.preventDefault();
  chosen(event);
  const input = find(".zg-edit input");
  if (input) input.focus();
});
element.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && (joining || selected !== null)) select(null);
});
const list = find(".zg-list");
list.addEventListener("click", (event) => {
  const number = numberOf(event);
  if (number === null) return;
  select(state.segments[number]);
});
list.addEventListener("pointerover", (event) => {
  const number = numberOf(event);
  if (number !== null && stage === "merged") point(number, null);
});
list.addEventListener("pointerleave", unpoint);

element.querySelectorAll("input[name=zg-stage]").forEach((radio) =>
  radio.addEventListener("change", () => {
    stage = radio.value;
    unpoint();
    draw();
  }),
);
let asked = null;
slider.addEventListener("input", () => {
  find(".zg-slider output").textContent = Number(slider.value).toFixed(2);
  dragging = true;
  clearTimeout(asked); // a few times a second while it is moved
  asked = setTimeout(() => {
    dragging = false;
    trigger("input", { action: "threshold", value: Number(slider.value) });
  }, 60);
});
find(".zg-undo").addEventListener("click", () => act({ action: "undo" }));
element.querySelectorAll("[data-kind]").forEach((button) =>
  button.addEventListener("click", () => trigger("download", { kind: button.dataset.kind })),
);

// --------------------------------------------------------------------------- what the server says

function drawWork(work) {
  const panel = find(".zg-work");
  panel.hidden = !work;
  if (!work) return;
  panel.querySelector("p").textContent = work.name;
  const steps = Object.keys(STEPS).filter((step) => step !== "queue" || work.stage === "queue");
  const at = steps.indexOf(work.stage);
  panel.querySelector("ol").replaceChildren(
    ...steps.map((step, number) => {
      const item = make("li", number < at ? "zg-done" : number === at ? "zg-now" : "", STEPS[step]);
      if (number === at) item.setAttribute("aria-current", "step");
      return item;
    }),
  );
}

function show(told) {
  find(".zg-alert").hidden = !told.error;
  find(".zg-alert").textContent = told.error || "";
  drawWork(told.work);
  find(".zg-result").hidden = !told.segments;
  find(".zg-examples").hidden = Boolean(told.work);
  element.classList.toggle("zg-has-result", Boolean(told.segments));
}

function take() {
  const told = parse(props.value);
  if (!told) return;
  show(told);
  if (!told.segments) return;
  if (told.scene) {
    scene = parse(props.scene);
    [selected, joining, stage] = [null, false, "merged"];
    find("input[value=merged]").checked = true;
    image.src = scene.src;
    image.alt = scene.name;
    image.width = scene.size[0]; // the frame has its shape before the picture is decoded
    image.height = scene.size[1];
    find(".zg-frame").style.setProperty("--zg-shape", scene.size[0] / scene.size[1]);
    const weights = scene.edges.map((edge) => edge[2]);
    const lowest = Math.floor(20 * Math.min(told.threshold, 0.9, ...weights)) / 20;
    slider.min = Math.max(0, lowest - 0.05);
  }
  if (!scene) return;
  state = told;
  if (!dragging) slider.value = Math.min(1, told.threshold);
  unpoint();
  draw();
}

function save() {
  const file = parse(props.file);
  if (!file) return;
  const bytes = Uint8Array.from(atob(file.content), (character) => character.charCodeAt(0));
  const url = URL.createObjectURL(new Blob([bytes], { type: file.media_type }));
  const link = make("a");
  link.href = url;
  link.download = file.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

const examples = parse(props.examples) || [];
for (const [number, example] of examples.entries()) {
  const button = make("button");
  button.type = "button";
  button.setAttribute("aria-label", `Example: ${example.name}`);
  const thumb = make("img");
  thumb.src = example.src;
  thumb.alt = "";
  button.append(thumb);
  button.addEventListener("click", () => {
    show({ work: { name: example.name, stage: "queue" } }); // at once, also while the server is busy
    trigger("select", { example: number });
  });
  find(".zg-examples").append(button);
}
if (examples.length) find(".zg-examples").prepend(make("span", "", "or take an example"));

new ResizeObserver(() => scene && state && drawPicture()).observe(image);
watch(["value"], take);
watch(["file"], save);
take();
