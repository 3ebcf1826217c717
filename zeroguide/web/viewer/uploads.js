// What comes to the drop zone.

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
