// What the user does.

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
  if (isMasks() || name === "masks") viewed = null; // a mask is no over-segment
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
find(".zg-undo").addEventListener("click", () => act({ action: "undo" }));
const OF_MASKS = { overlay: "masks-overlay", json: "masks" };
element.querySelectorAll("[data-kind]").forEach((button) =>
  button.addEventListener("click", () => trigger("download", { kind: isMasks() ? OF_MASKS[button.dataset.kind] : button.dataset.kind })),
);
