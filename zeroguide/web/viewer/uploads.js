// Files that come to the drop zone or to the picture.

const MASKS = /\.(json|txt|png|tiff?)$/i; // as zeroguide/runs/masks/formats.py
const isPhoto = (file) => file.type.startsWith("image/");

// Gradio would refuse these, too, but then its zone is stuck and the reason is gone in a moment.
// The sentences are the server's: uploads.py, image.py.
function complaint(files) {
  if (files.length > 1) return `${files.length} files at once: take one picture, or one and its masks.`;
  const { name } = files[0];
  if (!isPhoto(files[0]) && MASKS.test(name)) return `${name}: is no image; if it holds masks, drop it together with their picture, or that first.`;
  if (!isPhoto(files[0]))
    return `${name}: is not an image in a supported format; convert it to JPEG, PNG, WebP or TIFF.`;
  return tooLarge(files[0]);
}

function tooLarge({ name, size }) {
  if (size <= props.most) return "";
  const megabytes = (Math.ceil(size / 1e5) / 10).toFixed(1);
  return `${name}: has ${megabytes} MB, this page takes ${props.most / 1e6}; save it smaller, or use the command \`zeroguide label\`.`;
}

// Of files dropped on the zone: which are masks of which picture; null if they are none.
function sortFiles(files) {
  const dropped = [...files];
  if (dropped.length === 1) return scene && !isPhoto(dropped[0]) && MASKS.test(dropped[0].name) ? { masks: dropped[0] } : null;
  if (dropped.length !== 2) return null;
  const others = dropped.filter((file) => !isPhoto(file));
  const maps = dropped.filter((file) => /\.(png|tiff?)$/i.test(file.name));
  const [found] = others.length === 1 ? others : others.length === 0 && maps.length === 1 ? maps : [];
  if (!found || !MASKS.test(found.name)) return null;
  return { masks: found, photo: dropped.find((file) => file !== found) };
}

async function sendMasks(files) {
  for (const file of Object.values(files)) if (tooLarge(file)) return say(tooLarge(file));
  show({ work: { name: (files.photo || files.masks).name, stage: "queue" } });
  const sent = {};
  try {
    for (const [what, file] of Object.entries(files)) sent[what] = { path: (await upload(file)).path, name: file.name };
  } catch {
    show({ error: `${files.masks.name}: could not be sent; try again.` });
    return;
  }
  trigger("upload", sent);
}

const frame = find(".zg-frame");
frame.addEventListener("dragover", (event) => {
  event.preventDefault();
  frame.classList.add("zg-dropping");
});
frame.addEventListener("dragleave", () => frame.classList.remove("zg-dropping"));
frame.addEventListener("drop", (event) => {
  event.preventDefault();
  frame.classList.remove("zg-dropping");
  if (event.dataTransfer.files.length === 1) sendMasks({ masks: event.dataTransfer.files[0] });
  else if (event.dataTransfer.files.length) say("Several files at once: drop one file with the masks of this picture.");
});
const picker = find(".zg-masks input");
find(".zg-masks button").addEventListener("click", () => picker.click());
picker.addEventListener("change", () => {
  if (picker.files.length) sendMasks({ masks: picker.files[0] });
  picker.value = ""; // the same file may be chosen again
});

// On its way down, before it reaches Gradio's zone.
function inspect(event) {
  const holder = event.type === "drop" ? event.dataTransfer : event.target;
  if (!event.target.closest(".zg-photo") || !holder?.files?.length) return;
  const masked = event.type === "drop" ? sortFiles(holder.files) : null;
  const words = masked ? "" : complaint(holder.files);
  say(words);
  if (!words && !masked) return;
  if (masked) sendMasks(masked);
  event.preventDefault();
  event.stopPropagation();
  if (event.type === "drop") // the zone still has to hear that the dragging is over
    event.target.dispatchEvent(new DragEvent("drop", { bubbles: true, dataTransfer: new DataTransfer() }));
}
document.addEventListener("change", inspect, { capture: true });
document.addEventListener("drop", inspect, { capture: true });
