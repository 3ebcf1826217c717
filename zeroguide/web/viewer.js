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
const HINTS = {
  merged: "Pick a segment in the picture or in the list to rename it or join it with another.",
  other: "Pick an over-segment to see its names. Names and joins are made in the result.",
};

const parse = (text) => (text ? JSON.parse(text) : null);
let scene = null;
let state = null; // {segments, threshold, undo}
let stage = "merged";
let selected = null; // an over-segment of the segment that is selected in the result
let viewed = null; // the over-segment that is looked at in another stage
let joining = false;
let dragging = false;

const image = find(".zg-frame img");
const svg = find("svg");
const tip = find(".zg-tip");
const slider = find(".zg-slider input");

// ---------------------------------------------------------------------------------- what is shown

const isResult = () => stage === "merged"; // the only stage that can be edited
const shown = () => (isResult() ? state.segments : scene.over);
const count = (number, thing) => (number === 1 ? `1 ${thing}` : `${number} ${thing}s`);
const confident = (segment) =>
  segment.source === "hand" ? "sure" : `${percent(segment.confidence)} sure`;
const describe = (segment) =>
  [segment.label, confident(segment), SOURCES[segment.source]].filter(Boolean).join(", ");
const ownerOf = (part) => state.segments.find((segment) => segment.parts.includes(part)) || null;
const current = () => {
  const part = isResult() ? selected : viewed;
  if (part === null || !state) return null;
  return isResult() ? ownerOf(part) : scene.over[part];
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
      role: "button",
      "aria-label": describe(segment),
      "data-number": number,
    });
    if (segment === current()) fill.classList.add("zg-selected");
    fills.append(fill);
    halos.append(makeSvg("path", { d: segment.path }));
    lines.append(makeSvg("path", { d: segment.path }));
  });
  svg.append(fills, halos, lines);
  if (current()) svg.append(makeSvg("path", { d: current().path, class: "zg-ring" }));
  if (stage === "graph") drawGraph();
  drawNames();
}

// Segments that somebody joined or named, and where in the graph that is shown: at the largest part.
const byHand = () =>
  state.segments
    .filter((segment) => segment.source === "hand" || (segment.fixed && segment.parts.length > 1))
    .map((segment) => {
      const parts = [...segment.parts].sort((a, b) => scene.over[b].share - scene.over[a].share);
      return { segment, middle: parts[0], others: parts.slice(1) };
    });

// The edges that join, strongest first, as [those that hold each group together, the others].
function joiningEdges() {
  const group = scene.over.map((_, part) => part);
  const root = (part) => (group[part] === part ? part : (group[part] = root(group[part])));
  const [needed, others] = [[], []];
  const free = (part) => !ownerOf(part).fixed; // no threshold changes the others
  const joining = scene.edges.filter(([a, b, weight]) => weight >= state.threshold && free(a) && free(b));
  for (const edge of joining.sort((a, b) => b[2] - a[2])) {
    const [a, b] = [root(edge[0]), root(edge[1])];
    (a === b ? others : needed).push(edge);
    group[a] = b;
  }
  return [needed, others];
}

function drawGraph() {
  const group = makeSvg("g", { class: "zg-graph" });
  const line = (kind, a, b, words) => {
    const [from, to] = [scene.over[a].place, scene.over[b].place];
    if (!from || !to) return;
    const drawn = makeSvg("line", { x1: from[0], y1: from[1], x2: to[0], y2: to[1], class: kind });
    const title = makeSvg("title", {});
    title.textContent = `${scene.over[a].label} and ${scene.over[b].label}: ${words}`;
    drawn.append(title);
    group.append(drawn);
  };
  const [needed, others] = joiningEdges();
  const hand = byHand();
  const strongest = new Map(); // of every node, so that a dense graph stays readable
  for (const edge of scene.edges)
    for (const node of [edge[0], edge[1]])
      strongest.set(node, [...(strongest.get(node) || []), edge].sort((a, b) => b[2] - a[2]).slice(0, 2));
  const apart = new Set([...strongest.values()].flat());
  for (const edge of [...needed, ...others]) apart.delete(edge);
  // The more of them, the fainter: what holds the groups together stays to be seen.
  group.style.setProperty("--zg-faint", Math.min(0.8, Math.max(0.12, 6 / others.length)));
  for (const [kind, edges] of [["zg-apart", apart], ["zg-also", others], ["zg-joins", needed]])
    for (const [a, b, weight] of edges) line(kind, a, b, weight.toFixed(2));
  for (const { middle, others } of hand) for (const part of others) line("zg-by-hand", middle, part, "by hand");
  const unit = scene.box[0] / Math.max(1, image.clientWidth); // of the drawing, per pixel on screen
  const marked = new Set(hand.map((one) => one.middle));
  scene.over.forEach((segment, part) => {
    if (!segment.place) return;
    const [cx, cy] = segment.place;
    const kind = marked.has(part) ? "zg-marked" : "";
    group.append(makeSvg("circle", { cx, cy, r: 5 * unit, fill: segment.colour, class: kind }));
  });
  svg.append(group);
}

// Names beside the nodes, the largest segments first; who finds no room has none.
function drawNodeNames(layer) {
  const scale = image.clientWidth / scene.box[0];
  const [width, height] = [image.clientWidth, image.clientHeight];
  const places = scene.over.map(({ place }) => place && place.slice(0, 2).map((value) => value * scale));
  const taken = places.filter(Boolean).map(([x, y]) => [x - 6, y - 6, x + 6, y + 6]);
  const names = scene.over.map((segment) => segment.label);
  for (const { segment, middle } of byHand()) names[middle] = segment.label;
  const order = [...names.keys()].filter((part) => places[part]);
  for (const part of order.sort((a, b) => scene.over[b].share - scene.over[a].share)) {
    const name = make("span", "zg-name zg-node", names[part]);
    layer.append(name);
    const [[x, y], w, h] = [places[part], name.offsetWidth, name.offsetHeight];
    const corners = [[x - w / 2, y + 9], [x - w / 2, y - 9 - h], [x + 9, y - h / 2], [x - 9 - w, y - h / 2]];
    const box = corners
      .map(([left, top]) => [left, top, left + w, top + h])
      .find((b) => b[0] >= 0 && b[1] >= 0 && b[2] <= width && b[3] <= height && isFree(b, taken));
    if (box) put(name, box, taken);
    else name.remove();
  }
}

const isFree = (box, taken) =>
  taken.every((b) => box[0] >= b[2] + 2 || b[0] >= box[2] + 2 || box[1] >= b[3] + 2 || b[1] >= box[3] + 2);

function put(name, box, taken) {
  taken.push(box);
  name.style.left = `${box[0]}px`;
  name.style.top = `${box[1]}px`;
}

// Names where they find room, the largest segments first; else the number in the list.
function drawNames() {
  const layer = find(".zg-names");
  layer.replaceChildren();
  if (!image.clientWidth) return;
  if (stage === "graph") {
    drawNodeNames(layer);
    return;
  }
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
    if (box) put(name, box, taken);
    else name.remove();
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
    if (isFree(box, taken)) return box;
  }
  return null;
}

function remark(segment) {
  if (!segment.fixed || segment.source === "hand") return SOURCES[segment.source];
  if (segment.source === "estimate") return `joined by hand, ${SOURCES.estimate}`;
  return "named by the networks, stays as it is at every threshold";
}

function drawList() {
  const list = find(".zg-list");
  list.replaceChildren();
  const before = count(scene.over.length, "over-segment");
  find(".zg-head h3").textContent = isResult() ? count(state.segments.length, "segment") : before;
  const hand = byHand().length ? "Blue: joined or named by hand. " : "";
  const notes = {
    merged: `${before} became ${state.segments.length}.` + scene.notes.map((note) => ` ${note}.`).join(""),
    over: "What the picture was cut into, before anything was joined.",
    graph: `Yellow: alike enough to be joined. ${hand}Dotted: not joined, but the most alike of the rest.`,
  };
  find(".zg-note").textContent = notes[stage];
  find(".zg-undo").disabled = !state.undo;
  find(".zg-undo").hidden = !isResult();
  shown().forEach((segment, number) => {
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
    if (remark(segment)) words.append(make("span", "zg-remark", remark(segment)));
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
  panel.classList.toggle("zg-open", Boolean(segment));
  if (!segment) {
    panel.append(make("p", "zg-hint", isResult() ? HINTS.merged : HINTS.other));
    return;
  }
  if (!isResult()) {
    drawOverSegment(panel, segment);
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
  row.append(makeClose());
  panel.append(row);
}

function makeClose() {
  const close = make("button", "zg-close", "Done");
  close.type = "button";
  close.addEventListener("click", () => select(null));
  return close;
}

// What is to be known of an over-segment; where it can be changed.
function drawOverSegment(panel, segment) {
  const part = segment.parts[0];
  const words = make("p", "zg-about");
  words.append(make("strong", "", segment.label));
  const others = segment.alternatives.length ? `, or ${segment.alternatives.join(", ")}` : "";
  words.append(` (${confident(segment)})${others}`);
  const owner = ownerOf(part);
  const home = owner.parts.length > 1 ? ` It is a part of \u201c${owner.label}\u201d there.` : "";
  panel.append(words, make("p", "zg-hint", `Over-segment ${part + 1} can be changed in the result only.${home}`));
  const row = make("div", "zg-actions");
  const go = make("button", "zg-go", "Edit in the result");
  go.type = "button";
  go.addEventListener("click", () => {
    selected = part;
    setStage("merged");
    reveal();
    find(".zg-edit input").focus({ preventScroll: true });
  });
  row.append(go, makeClose());
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

function drawSlider() {
  const recipe = Math.min(1, scene.threshold); // beyond it nothing joins either
  const [lowest, value] = [Number(slider.min), Number(slider.value)];
  find(".zg-slider output").textContent = value.toFixed(2);
  find(".zg-mark").style.setProperty("--share", (recipe - lowest) / (1 - lowest));
  const away = dragging || state.threshold !== scene.threshold;
  const reset = find(".zg-reset");
  reset.textContent = away ? `Back to ${recipe.toFixed(2)}` : "the recipe\u2019s";
  slider.disabled = stage === "over"; // there is nothing it would change
  reset.disabled = slider.disabled || !away;
}

function draw() {
  if (!scene || !state) return;
  const before = focused();
  element.classList.toggle("zg-joining", joining);
  drawPicture();
  drawList();
  drawEditor();
  drawSlider();
  const successor = before && find(before);
  if (successor) successor.focus({ preventScroll: true });
}

// ------------------------------------------------------------------------------ what the user does

const act = (data) => trigger("submit", data);

function select(segment) {
  if (!isResult()) {
    viewed = segment ? segment.parts[0] : null;
    draw();
    return;
  }
  if (segment && joining && current() && segment !== current()) {
    joining = false;
    act({ action: "join", parts: [current().parts[0], segment.parts[0]] });
    return;
  }
  joining = false;
  selected = segment ? segment.parts[0] : null;
  draw();
}

function setStage(name) {
  [stage, joining] = [name, false];
  find(`input[value=${name}]`).checked = true;
  unpoint();
  draw();
}

// Bring the panel into sight; on a phone with the picture above it, if both find room.
function reveal() {
  const [panel, frame] = [find(".zg-edit"), find(".zg-frame")];
  const [low, high] = [panel.getBoundingClientRect(), frame.getBoundingClientRect()];
  const both = low.top >= high.bottom && low.bottom - high.top <= window.innerHeight;
  const [target, block] = both && high.top < 0 ? [frame, "start"] : [panel, "nearest"];
  target.scrollIntoView({ block, behavior: "smooth" });
}

function point(number, event) {
  const segment = shown()[number];
  element.querySelectorAll("[data-number]").forEach((part) => {
    part.classList.toggle("zg-hover", part.dataset.number === String(number));
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
  if (number === null) return;
  select(shown()[number]);
  reveal();
};
svg.addEventListener("click", chosen);
svg.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" && event.key !== " ") return;
  event.preventDefault();
  chosen(event);
  const first = find(".zg-edit input, .zg-edit button");
  if (first) first.focus();
});
element.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && (joining || current())) select(null);
});
const list = find(".zg-list");
list.addEventListener("click", chosen);
list.addEventListener("pointerover", (event) => {
  const number = numberOf(event);
  if (number !== null) point(number, null);
});
list.addEventListener("pointerleave", unpoint);

element.querySelectorAll("input[name=zg-stage]").forEach((radio) =>
  radio.addEventListener("change", () => setStage(radio.value)),
);
let asked = null;
slider.addEventListener("input", () => {
  dragging = true;
  drawSlider();
  clearTimeout(asked); // a few times a second while it is moved
  asked = setTimeout(() => {
    dragging = false;
    trigger("input", { action: "threshold", value: Number(slider.value) });
  }, 60);
});
find(".zg-reset").addEventListener("click", () => {
  clearTimeout(asked);
  dragging = false;
  slider.value = Math.min(1, scene.threshold);
  drawSlider();
  slider.focus({ preventScroll: true }); // the button is of no use now
  trigger("input", { action: "threshold", value: scene.threshold });
});
find(".zg-undo").addEventListener("click", () => act({ action: "undo" }));
element.querySelectorAll("[data-kind]").forEach((button) =>
  button.addEventListener("click", () => trigger("download", { kind: button.dataset.kind })),
);

// ------------------------------------------------------------------------ what comes to the drop zone

// Gradio would refuse these, too, but then its zone is stuck and the reason is gone in a moment.
// The sentences are the server's: uploads.py, image.py.
function complaint(files) {
  if (files.length > 1) return `${files.length} files at once: take one picture.`;
  const { name, size, type } = files[0];
  if (!type.startsWith("image/"))
    return `${name}: is not an image in a supported format; convert it to JPEG, PNG, WebP or TIFF.`;
  if (size <= props.most) return "";
  const megabytes = (Math.ceil(size / 1e5) / 10).toFixed(1);
  return `${name}: has ${megabytes} MB, this page takes ${props.most / 1e6}; save it smaller, or use the command \`zeroguide label\`.`;
}

// On its way down, before it reaches Gradio's zone.
function inspect(event) {
  const holder = event.type === "drop" ? event.dataTransfer : event.target;
  if (!event.target.closest(".zg-photo") || !holder?.files?.length) return;
  const words = complaint(holder.files);
  say(words);
  if (!words) return;
  event.preventDefault();
  event.stopPropagation();
  if (event.type === "drop") // the zone still has to hear that the dragging is over
    event.target.dispatchEvent(new DragEvent("drop", { bubbles: true, dataTransfer: new DataTransfer() }));
}
document.addEventListener("change", inspect, { capture: true });
document.addEventListener("drop", inspect, { capture: true });

// --------------------------------------------------------------------------- what the server says

function say(words) {
  find(".zg-alert").hidden = !words;
  find(".zg-alert").textContent = words;
}

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
  say(told.error || "");
  drawWork(told.work);
  const result = Boolean(told.segments || (told.error && state)); // the last picture is still there
  find(".zg-result").hidden = !result;
  find(".zg-examples").hidden = Boolean(told.work);
  element.classList.toggle("zg-has-result", result);
}

function take() {
  const told = parse(props.value);
  if (!told) return;
  show(told);
  if (!told.segments) return;
  if (told.scene) {
    scene = parse(props.scene);
    [selected, viewed, joining, stage] = [null, null, false, "merged"];
    find("input[value=merged]").checked = true;
    image.src = scene.src;
    image.alt = scene.name;
    image.width = scene.size[0]; // the frame has its shape before the picture is decoded
    image.height = scene.size[1];
    find(".zg-frame").style.setProperty("--zg-shape", scene.size[0] / scene.size[1]);
    const weights = scene.edges.map((edge) => edge[2]);
    const lowest = Math.floor(20 * Math.min(scene.threshold, 0.9, ...weights)) / 20;
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
