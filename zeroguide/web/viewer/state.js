// The picture with its segments, and what can be done to them. Runs inside Gradio's HTML component,
// which gives `element`, `props`, `trigger(event, data)` and `watch(names, callback)`. The server
// sends props.scene (what stays: picture, over-segments, edges) and props.value (what changes), both
// JSON; see view.py. page.py puts the scripts of this folder together into one function. Everything
// that comes from a user goes into textContent, never into HTML.

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
  masks: "Naming the masks",
};
const SOURCES = {
  network: "",
  estimate: "estimated from its parts",
  hand: "named by hand",
};
const HINTS = {
  merged: "Pick a segment in the picture or in the list to rename it or join it with another.",
  masks: "Pick a mask to see its names.",
  other: "Pick an over-segment to see its names. Names and joins are made in the result.",
};

const parse = (text) => (text ? JSON.parse(text) : null);
let scene = null;
let state = null; // {segments, over, threshold, certainty, undo}
let masks = null; // {name, masks}: of another tool, the largest first
let stage = "merged";
let selected = null; // an over-segment of the segment that is selected in the result
let viewed = null; // the over-segment or mask that is looked at in another stage
let joining = false;
let cutting = null; // the timer until the picture is cut anew
let recut = false; // the picture on its way is the same one, cut anew

const image = find(".zg-frame img");
const svg = find("svg");
const tip = find(".zg-tip");
const slider = find(".zg-threshold input");
const sure = find(".zg-certain input");
const grain = find(".zg-grain input");
