// The similarity graph over the picture.

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
