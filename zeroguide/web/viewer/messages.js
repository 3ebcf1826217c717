// What the server says.

function say(words) {
  find(".zg-alert").hidden = !words;
  find(".zg-alert").textContent = words;
}

function drawWork(work) {
  const panel = find(".zg-work");
  panel.hidden = !work;
  if (!work) return;
  panel.querySelector("p").textContent = work.name;
  const steps = Object.keys(STEPS).filter((step) => step === work.stage || !["queue", "masks"].includes(step));
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
  clearTimeout(cutting); // another picture is on its way
  drawWork(told.work);
  const result = Boolean(told.segments || (told.error && state)); // the last picture is still there
  find(".zg-result").hidden = !result;
  find(".zg-examples").hidden = Boolean(told.work);
  element.classList.toggle("zg-has-result", result);
}

function setStageOnly(name) {
  stage = name;
  find(`input[value=${name}]`).checked = true;
}

function take() {
  const told = parse(props.value);
  if (!told) return;
  show(told);
  if (told.error && scene?.granularity) {
    recut = false;
    grain.value = scene.granularity[0];
    drawSliders();
  }
  if (!told.segments) return;
  if (told.scene) {
    scene = parse(props.scene);
    [selected, viewed, joining, masks] = [null, null, false, null];
    setStageOnly("merged");
    image.src = scene.src;
    image.alt = scene.name;
    image.width = scene.size[0]; // the frame has its shape before the picture is decoded
    image.height = scene.size[1];
    find(".zg-frame").style.setProperty("--zg-shape", scene.size[0] / scene.size[1]);
    fitSliders();
  }
  if (!scene) return;
  state = told;
  told.over.forEach((names, part) => Object.assign(scene.over[part], names));
  if (props.masks && told.masks && (told.scene || !masks || masks.source !== props.masks)) {
    masks = { ...parse(props.masks), source: props.masks };
    [viewed, joining] = [null, false];
    setStageOnly("masks");
  }
  if (masks) told.masks.forEach((names, number) => Object.assign(masks.masks[number], names));
  setSliders();
  unpoint();
  draw();
  if (told.scene && recut) grain.focus({ preventScroll: true });
  if (told.scene) recut = false;
}

function toFile(file) {
  const bytes = Uint8Array.from(atob(file.content), (character) => character.charCodeAt(0));
  return new File([bytes], file.name, { type: file.media_type });
}

function saveFile(file) {
  const url = URL.createObjectURL(file);
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
watch(["file"], () => props.file && saveFile(toFile(parse(props.file))));
watch(["seen"], drawLook);
watch(["offered"], drawShare);
take();
