// The sliders below the picture: two act while they are moved, the third when it is let go.

const CHANGING = 60; // milliseconds between two questions to the server
const LIVE = [
  {
    action: "threshold",
    input: slider,
    own: () => Math.min(1, scene.threshold), // beyond it nothing joins either
    value: () => Math.min(1, state.threshold),
    isOwn: () => state.threshold === scene.threshold,
    restore: () => scene.threshold,
    idle: () => stage === "over" || isMasks(), // there is nothing it would change
  },
  {
    action: "certainty",
    input: sure,
    own: () => scene.certainty,
    value: () => state.certainty,
    isOwn: () => state.certainty === scene.certainty,
    restore: () => scene.certainty,
    idle: () => false,
  },
].map((live) => ({ ...live, box: live.input.closest(".zg-slider"), asked: null, dragging: false }));

// A new picture: from where to where they go.
function fitSliders() {
  const weights = scene.edges.map((edge) => edge[2]);
  const lowest = Math.floor(20 * Math.min(scene.threshold, 0.9, ...weights)) / 20;
  slider.min = Math.max(0, lowest - 0.05);
  find(".zg-certain").hidden = scene.certainty === null;
  if (scene.certainty !== null) {
    sure.min = Math.min(0.05, scene.certainty);
    sure.max = Math.max(0.95, scene.certainty);
  }
  find(".zg-grain").hidden = !scene.granularity;
  if (scene.granularity) grain.value = scene.granularity[0];
}

function setSliders() {
  for (const { input, value, dragging, box } of LIVE) if (!dragging && !box.hidden) input.value = value();
}

function drawSliders() {
  for (const { input, own, isOwn, idle, box, dragging } of LIVE) {
    if (box.hidden) continue;
    const [lowest, highest] = [Number(input.min), Number(input.max)];
    box.querySelector("output").textContent = Number(input.value).toFixed(2);
    box.querySelector(".zg-mark").style.setProperty("--share", (own() - lowest) / (highest - lowest));
    const away = dragging || !isOwn();
    const reset = box.querySelector(".zg-reset");
    reset.textContent = away ? `Back to ${own().toFixed(2)}` : "the recipe\u2019s";
    input.disabled = idle();
    reset.disabled = input.disabled || !away;
  }
  if (!scene.granularity) return;
  find(".zg-grain output").textContent = Number(grain.value).toFixed(2);
  find(".zg-grain .zg-mark").style.setProperty("--share", scene.granularity[1]);
}

for (const live of LIVE) {
  live.input.addEventListener("input", () => {
    live.dragging = true;
    drawSliders();
    clearTimeout(live.asked); // a few times a second while it is moved
    live.asked = setTimeout(() => {
      live.dragging = false;
      trigger("input", { action: live.action, value: Number(live.input.value) });
    }, CHANGING);
  });
  live.box.querySelector(".zg-reset").addEventListener("click", () => {
    clearTimeout(live.asked);
    live.dragging = false;
    live.input.value = live.own();
    drawSliders();
    live.input.focus({ preventScroll: true }); // the button is of no use now
    trigger("input", { action: live.action, value: live.restore() });
  });
}

grain.addEventListener("input", drawSliders);
grain.addEventListener("change", () => {
  clearTimeout(cutting); // arrow keys may take several steps
  cutting = setTimeout(() => {
    const value = Number(grain.value);
    const undone = "Cutting anew forgets the names and joins that were made by hand. Go on?";
    if (value === scene.granularity[0]) return;
    if (state.undo && !window.confirm(undone)) {
      grain.value = scene.granularity[0];
      drawSliders();
      return;
    }
    recut = true;
    show({ work: { name: scene.name, stage: "queue" } });
    trigger("select", { granularity: value });
  }, 400);
});
