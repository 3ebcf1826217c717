// What opens above the page: what CLIP saw of a segment, and files to be passed on.

const lookDialog = find(".zg-look");
let looked = null; // the segment whose picture is on its way

function open(dialog, key) {
  dialog.dataset.opener = key; // what had the focus may be drawn anew meanwhile
  dialog.showModal();
  dialog.querySelector("h2").focus();
}
element.querySelectorAll("dialog").forEach((dialog) => {
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close()); // beside it
  dialog.addEventListener("keydown", (event) => event.stopPropagation()); // Esc is for the dialog
  dialog.addEventListener("close", () => find(`[data-key="${dialog.dataset.opener}"]`)?.focus());
});

function makeLook(segment) {
  const button = make("button", "", "What CLIP saw");
  button.type = "button";
  button.dataset.key = "look";
  button.addEventListener("click", () => look(segment));
  return button;
}

function look(segment) {
  looked = segment;
  find("#zg-look-title").textContent = `What CLIP saw of \u201c${segment.label}\u201d`;
  lookDialog.querySelector(".zg-wait").textContent = "Looking\u2026";
  lookDialog.querySelector(".zg-pair").hidden = true;
  lookDialog.querySelector(".zg-hint").textContent = "";
  open(lookDialog, "look");
  trigger("expand", { part: segment.parts[0], over: !isResult() });
}

function caption(figure, title, { labels, confidence }) {
  const [first, ...others] = labels;
  const words = [make("b", "", title), make("strong", "", first), make("span", "", `${percent(confidence)} sure`)];
  if (others.length) words.push(make("span", "", `or ${others.join(", ")}`));
  figure.querySelector("figcaption").replaceChildren(...words);
}

function drawLook() {
  const told = parse(props.seen);
  if (!told || !looked || told.part !== looked.parts[0]) return;
  const [before, after] = lookDialog.querySelectorAll("figure");
  const [width, height] = scene.box;
  const outline = before.querySelector("svg");
  outline.setAttribute("viewBox", `0 0 ${width} ${height}`);
  outline.replaceChildren(makeSvg("path", { d: looked.path, class: "zg-halo" }), makeSvg("path", { d: looked.path }));
  before.querySelector("img").src = scene.src;
  before.querySelector("img").alt = `The whole picture, the outline of ${looked.label} in it`;
  after.querySelector("img").src = told.seen;
  after.querySelector("img").alt = `What the mask let through: ${looked.label}, the rest dark`;
  caption(before, "Without a mask, the whole picture", told.before);
  caption(after, "With the mask, this segment", told.after);
  lookDialog.querySelector(".zg-pair").hidden = false;
  lookDialog.querySelector(".zg-hint").textContent = told.about;
  lookDialog.querySelector(".zg-wait").textContent = "";
}

const shareDialog = find(".zg-shared");
find(".zg-share").addEventListener("click", () => {
  shareDialog.querySelector(".zg-wait").textContent = "Making a picture and a page\u2026";
  shareDialog.querySelector(".zg-files").hidden = true;
  open(shareDialog, "share");
  trigger("download", { kind: "share" });
});

function makeFileButton(words, act, primary) {
  const button = make("button", primary ? "zg-primary" : "", words);
  button.type = "button";
  button.addEventListener("click", act);
  return button;
}

function drawShare() {
  const told = parse(props.offered);
  if (!told || !shareDialog.open) return;
  const files = [told.card, told.page].map(toFile);
  const size = (file) => (file.size > 999999 ? `${(file.size / 1e6).toFixed(1)} MB` : `${Math.ceil(file.size / 1e3)} kB`);
  const picture = shareDialog.querySelector("img");
  picture.src = `data:${told.card.media_type};base64,${told.card.content}`;
  const buttons = [
    makeFileButton(`Save picture (PNG, ${size(files[0])})`, () => saveFile(files[0]), true),
    makeFileButton(`Save page (HTML, ${size(files[1])})`, () => saveFile(files[1]), true),
  ];
  // On a phone: to whatever takes files there. Few take a page.
  if (navigator.canShare?.({ files: files.slice(0, 1) }))
    buttons.push(makeFileButton("Send picture\u2026", () => navigator.share({ files: files.slice(0, 1) }).catch(() => {})));
  shareDialog.querySelector(".zg-actions").replaceChildren(...buttons);
  shareDialog.querySelector(".zg-files").hidden = false;
  shareDialog.querySelector(".zg-wait").textContent = "";
}
