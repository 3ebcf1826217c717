// What stands beside the picture: segments and editor.

function remark(segment) {
  if (!segment.fixed && segment.composed) return "a name of the list with a modifier";
  if (!segment.fixed || segment.source === "hand") return SOURCES[segment.source];
  if (segment.source === "estimate") return `joined by hand, ${SOURCES.estimate}`;
  return "named by the networks, stays as it is at every threshold";
}

function drawList() {
  const list = find(".zg-list");
  list.replaceChildren();
  const before = count(scene.over.length, "over-segment");
  const heads = { merged: count(state.segments.length, "segment"), masks: count(masks?.masks.length, "mask") };
  find(".zg-head h2").textContent = heads[stage] || before;
  const hand = byHand().length ? "Blue: joined or named by hand. " : "";
  const notes = {
    merged: `${before} became ${state.segments.length}.` + scene.notes.map((note) => ` ${note}.`).join(""),
    over: "What the picture was cut into, before anything was joined.",
    graph: `Yellow: alike enough to be joined. ${hand}Dotted: not joined, but the most alike of the rest.`,
    masks: `Of ${masks?.name}. They may lie on each other, the smaller on the larger.`,
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
    const swatch = make("span", "zg-swatch", numberIn(segment, number));
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
    panel.append(make("p", "zg-hint", HINTS[stage] || HINTS.other));
    return;
  }
  if (isMasks()) {
    const row = make("div", "zg-actions");
    row.append(makeClose());
    panel.append(about(segment), make("p", "zg-hint", `Mask ${segment.id} of ${masks.name}.`), row);
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
  row.append(makeLook(segment), makeClose());
  panel.append(row);
}

function makeClose() {
  const close = make("button", "zg-close", "Done");
  close.type = "button";
  close.addEventListener("click", () => select(null));
  return close;
}

function about(segment) {
  const words = make("p", "zg-about");
  words.append(make("strong", "", segment.label));
  const others = segment.alternatives.length ? `, or ${segment.alternatives.join(", ")}` : "";
  words.append(` (${confident(segment)})${others}`);
  return words;
}

// What is to be known of an over-segment; where it can be changed.
function drawOverSegment(panel, segment) {
  const part = segment.parts[0];
  const owner = ownerOf(part);
  const home = owner.parts.length > 1 ? ` It is a part of \u201c${owner.label}\u201d there.` : "";
  panel.append(about(segment), make("p", "zg-hint", `Over-segment ${part + 1} can be changed in the result only.${home}`));
  const row = make("div", "zg-actions");
  const go = make("button", "zg-go", "Edit in the result");
  go.type = "button";
  go.addEventListener("click", () => {
    selected = part;
    setStage("merged");
    reveal();
    find(".zg-edit input").focus({ preventScroll: true });
  });
  row.append(go, makeLook(segment), makeClose());
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
  element.classList.toggle("zg-with-masks", isMasks());
  find("label.zg-of-masks").hidden = !masks;
  element.classList.toggle("zg-joining", joining);
  drawPicture();
  drawList();
  drawEditor();
  drawSliders();
  const successor = before && find(before);
  if (successor) successor.focus({ preventScroll: true });
}
