// The picture, its outlines, and names where they find room.

const isResult = () => stage === "merged"; // the only stage that can be edited
const isMasks = () => stage === "masks";
const shown = () => (isResult() ? state.segments : isMasks() ? masks.masks : scene.over);
const numberIn = (segment, number) => String(segment.id ?? number + 1); // masks have their file's
const count = (number, thing) => (number === 1 ? `1 ${thing}` : `${number} ${thing}s`);
const confident = (segment) =>
  segment.source === "hand" ? "sure" : `${percent(segment.confidence)} sure`;
const describe = (segment) =>
  [segment.label, confident(segment), SOURCES[segment.source]].filter(Boolean).join(", ");
const ownerOf = (part) => state.segments.find((segment) => segment.parts.includes(part)) || null;
const current = () => {
  const part = isResult() ? selected : viewed;
  if (part === null || !state) return null;
  return isResult() ? ownerOf(part) : shown()[part];
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
      name.textContent = numberIn(segment, number);
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
