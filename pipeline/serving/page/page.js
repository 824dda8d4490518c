"use strict";
// The page of an archive: speak or drop a file, see what is found. It asks only its own service.

const $ = (id) => document.getElementById(id);
const state = { token: sessionStorage.getItem("token") || "", about: null, recorder: null, urls: [] };

function heads() {
  return state.token ? { Authorization: `Bearer ${state.token}` } : {};
}

function say(text, isError = false) {
  $("status").textContent = plain(text);
  $("status").classList.toggle("error", isError);
  if (isError) $("status").scrollIntoView({ block: "nearest" });
}

// Control characters and those that turn the direction of text, with which a name can look like
// another one, are shown as what they are.
function plain(text) {
  return String(text).replace(
    /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (sign) => `\\u${sign.codePointAt(0).toString(16).padStart(4, "0")}`,
  );
}

async function open() {
  const answer = await fetch("archive", { headers: heads() });
  if (answer.status === 401) {
    sessionStorage.removeItem("token");
    $("about").textContent = state.token ? "That token is not right." : "";
    $("token-form").hidden = false;
    $("token").focus();
    return;
  }
  if (!answer.ok) throw new Error(`the service answers ${answer.status}`);
  state.about = await answer.json();
  const { archive, images, voices, bits, classes } = state.about;
  $("about").textContent =
    `${archive}: ${images.toLocaleString()} images, ${voices.toLocaleString()} voices, ` +
    `${bits}-bit codes. It was trained on ${classes.length} classes: ${classes.join(", ")}.`;
  $("token-form").hidden = true;
  $("main").hidden = false;
}

$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  state.token = $("token").value.trim();
  sessionStorage.setItem("token", state.token);
  open().catch(failed);
});

function failed(error) {
  say(error instanceof TypeError ? "The service does not answer." : error.message, true);
}

// Asking

function kindOf(file) {
  const name = (file.name || "").toLowerCase();
  if (file.type.startsWith("image/") || /\.(jpe?g|png|tiff?|jp2)$/.test(name)) return "image";
  return "voice";
}

let asked = 0;

async function ask(file, kind) {
  const turn = ++asked;
  show(file, kind);
  if (file.size > state.about.upload_bytes) {
    say(`The file has more than ${state.about.upload_bytes / 1e6} MB.`, true);
    return;
  }
  const form = new FormData();
  form.append(kind, file, file.name || "query");
  for (const name of ["find", "count", "within", "where", "bbox"]) {
    const value = $(name).value.trim();
    if (value) form.append(name, value);
  }
  say("Searching …");
  const answer = await fetch("search", { method: "POST", body: form, headers: heads() });
  const found = await answer.json().catch(() => ({}));
  if (turn !== asked) return;
  if (!answer.ok) throw new Error(message(found) || `the service answers ${answer.status}`);
  report(found);
}

function message(found) {
  if (found.error) return found.error;
  if (!Array.isArray(found.detail)) return "";
  return found.detail.map((one) => `${one.loc.at(-1)}: ${one.msg}`).join("; ");
}

function show(file, kind) {
  for (const url of state.urls.splice(0)) URL.revokeObjectURL(url);
  const url = URL.createObjectURL(file);
  state.urls.push(url);
  $("query").hidden = false;
  $("query-voice").hidden = kind !== "voice";
  $("query-image").hidden = kind !== "image";
  $("query-name").textContent = file.name ? plain(file.name) : "";
  if (kind === "voice") $("query-voice").src = url;
  else $("query-image").src = url;
  $("warnings").replaceChildren();
  $("found").hidden = true;
}

// A picture that the browser cannot draw, such as a GeoTIFF, is searched with all the same.
$("query-image").addEventListener("error", () => {
  if ($("query-image").hidden) return;
  $("query-image").hidden = true;
  $("query-name").textContent += " (this browser cannot show it)";
});

// Showing

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = plain(text);
  if (className) made.className = className;
  return made;
}

function report(found) {
  const warnings = found.warnings.map((one) => element("li", `${one.severity}: ${one.text}`));
  $("warnings").replaceChildren(...warnings);
  const count = found.hits.length;
  say("");
  $("found").hidden = false;
  $("found-head").textContent = count ? `${count} ${count === 1 ? "hit" : "hits"}` : "Nothing found";
  $("confidence").textContent = found.confidence ? inWords(found.confidence) :
    "No item fulfils the conditions. Widen them, or leave them out.";
  $("hits").replaceChildren(...found.hits.map(hit));
  map(found.hits);
  $("found-head").focus({ preventScroll: true });
  for (const card of $("hits").children) load(card);
}

function inWords(confidence) {
  const share = Math.round(100 * confidence.value);
  const others = confidence.known === null ? "the middle of the archive" :
    `the nearest known item at ${confidence.known}, the middle of these`;
  return `The first hit is at ${inBits(confidence.first)}, ${others} at ` +
    `${Math.round(confidence.median)}: confidence ${share} %` +
    (confidence.unclear ? ". The query is probably about nothing known." : ".");
}

function inBits(distance) {
  return distance === 1 ? "1 bit" : `${distance} bits`;
}

function hit(one) {
  const card = element("li");
  card.id = `hit-${one.rank}`;
  card.dataset.item = one.id;
  card.dataset.modality = one.modality;
  if (one.modality === "image") {
    const picture = element("div", "…", "picture");
    picture.dataset.alt = plain([one.label, one.caption, one.name].filter(Boolean).join(", "));
    card.append(picture);
  } else {
    const player = element("audio");
    player.controls = true;
    player.setAttribute("aria-label", plain(`Voice ${one.name}`));
    card.append(player);
  }
  const words = element("div", undefined, "words");
  const head = element("strong");
  const label = element("span", `${one.rank}. ${one.label || "no label"}`, "label");
  label.title = plain(one.label);
  head.append(label);
  head.append(element("span", inBits(one.distance), "bits"));
  words.append(head);
  if (one.caption) words.append(element("p", one.caption));
  const name = element("p", one.name, "quiet name");
  name.title = plain(one.name);
  words.append(name);
  const place = placeOf(one.columns);
  if (place) words.append(element("p", inDegrees(place), "quiet"));
  if (one.columns.time) words.append(element("p", String(one.columns.time).slice(0, 10), "quiet"));
  card.append(words);
  return card;
}

async function load(card) {
  const isImage = card.dataset.modality === "image";
  const path = `items/${card.dataset.item}/${isImage ? "thumbnail" : "audio"}`;
  const answer = await fetch(path, { headers: heads() }).catch(() => null);
  const target = card.firstChild;
  if (!answer || !answer.ok) {
    if (isImage) target.textContent = "no picture";
    else target.replaceWith(element("div", "no recording", "words"));
    return;
  }
  const url = URL.createObjectURL(await answer.blob());
  state.urls.push(url);
  if (!isImage) {
    target.src = url;
    return;
  }
  const picture = element("img");
  picture.alt = target.dataset.alt;
  picture.src = url;
  target.replaceChildren(picture);
}

// Places

function placeOf(columns) {
  const sides = ["west", "south", "east", "north"].map((side) => columns[side]);
  return sides.every((value) => typeof value === "number") ? sides : null;
}

function inDegrees([west, south, east, north]) {
  const x = (west + east + (west > east ? 360 : 0)) / 2;
  return `${inLetters((south + north) / 2, "NS", 4)}, ${inLetters(x, "EW", 4)}`;
}

function inLetters(degrees, [plus, minus], digits) {
  const value = degrees > 180 ? degrees - 360 : degrees;
  return `${Math.abs(value).toFixed(digits)}°\u00a0${value < 0 ? minus : plus}`;
}

function svg(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// Longitudes without the step at 180 degrees: the widest gap between the places, all around the
// Earth, lies outside of the map.
function sideBySide(places) {
  const whole = places.map(([w, s, e, n]) => [w, s, w > e ? e + 360 : e, n]);
  const starts = whole.map(([w]) => w).sort((a, b) => a - b);
  let [first, widest] = [starts[0], starts[0] + 360 - starts.at(-1)];
  for (let number = 1; number < starts.length; number++) {
    const gap = starts[number] - starts[number - 1];
    if (gap > widest) [first, widest] = [starts[number], gap];
  }
  return whole.map(([w, s, e, n]) => (w < first ? [w + 360, s, e + 360, n] : [w, s, e, n]));
}

// Widths and heights of the picture are pixels, so that its text is as large as that of the page.
function map(hits) {
  const places = hits.map((one) => [one, placeOf(one.columns)]).filter(([, place]) => place);
  $("map").hidden = !places.length;
  if (!places.length) return;
  const all = sideBySide(places.map(([, place]) => place));
  const [west, south] = [0, 1].map((side) => Math.min(...all.map((place) => place[side])));
  const [east, north] = [2, 3].map((side) => Math.max(...all.map((place) => place[side])));
  const picture = $("map").querySelector("svg");
  const width = Math.max(240, $("map").clientWidth), height = Math.min(320, 0.75 * width);
  const middle = Math.max(0.1, Math.cos(((south + north) / 2) * Math.PI / 180));
  const [left, right, top, bottom] = [72, 16, 16, 28]; // beside the numbers of the lines
  const scale = Math.min(
    (width - left - right) / Math.max((east - west) * middle, 0.0005),
    (height - top - bottom) / Math.max(north - south, 0.0005),
  );
  const [centre, level] = [(width + left - right) / 2, (height + top - bottom) / 2];
  const x = (degrees) => centre + (degrees - (west + east) / 2) * middle * scale;
  const y = (degrees) => level - (degrees - (south + north) / 2) * scale;
  const parts = grid({ width, height, x, y, across: scale * middle, down: scale });
  places.forEach(([one], number) => {
    const [w, s, e, n] = all[number];
    const box = { width: Math.max(x(e) - x(w), 6), height: Math.max(y(s) - y(n), 6) };
    const shape = svg("g", { class: "place" });
    const title = svg("title", {});
    title.textContent = plain(`${one.rank}. ${one.label || one.name}`);
    const text = svg("text", { x: (x(w) + x(e)) / 2, y: (y(s) + y(n)) / 2 });
    text.textContent = one.rank;
    shape.append(title, svg("rect", { x: x(w), y: y(n), ...box }), text);
    shape.addEventListener("click", () => mark(one.rank));
    parts.push(shape);
  });
  picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
  picture.replaceChildren(...parts);
  const side = (value, letters) => inLetters(value, letters, 3);
  $("map-text").textContent = `Where ${places.length} of the hits lie, by their numbers: ` +
    `${side(south, "NS")} to ${side(north, "NS")}, ${side(west, "EW")} to ${side(east, "EW")}.`;
}

// Lines about 120 pixels apart, at round degrees.
function grid({ width, height, x, y, across, down }) {
  const parts = [];
  const lines = (perDegree, length, at, draw) => {
    const raw = 120 / perDegree;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= raw);
    const digits = Math.max(0, -Math.floor(Math.log10(step)));
    const first = Math.ceil(Math.min(at(0), at(length)) / step);
    const last = Math.max(at(0), at(length)) / step;
    for (let number = first; number <= last; number++) draw(number * step, digits);
  };
  const text = (place, words) => {
    const made = svg("text", place);
    made.textContent = words;
    return made;
  };
  lines(across, width, (pixel) => (pixel - x(0)) / across, (degrees, digits) => {
    parts.push(svg("line", { x1: x(degrees), x2: x(degrees), y1: 0, y2: height }));
    parts.push(text({ x: x(degrees) + 4, y: height - 6 }, inLetters(degrees, "EW", digits)));
  });
  lines(down, height, (pixel) => (y(0) - pixel) / down, (degrees, digits) => {
    if (y(degrees) > height - 24) return; // there stand the numbers of the other lines
    parts.push(svg("line", { x1: 0, x2: width, y1: y(degrees), y2: y(degrees) }));
    parts.push(text({ x: 6, y: y(degrees) - 4 }, inLetters(degrees, "NS", digits)));
  });
  return parts;
}

function mark(rank) {
  for (const card of $("hits").children) card.classList.toggle("marked", card.id === `hit-${rank}`);
  $(`hit-${rank}`).scrollIntoView({ block: "nearest", behavior: "smooth" });
}

// Speaking

async function startSpeaking() {
  if (state.recorder) return;
  const mine = { wanted: true };
  state.recorder = mine;
  if (!navigator.mediaDevices || !window.MediaRecorder) {
    state.recorder = null;
    throw new Error("This browser records no sound here; choose a recording instead.");
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch (error) {
    state.recorder = null;
    throw new Error(`The microphone cannot be used (${error.name}); choose a recording instead.`);
  }
  const parts = [];
  const recorder = new MediaRecorder(stream);
  const meter = levelOf(stream);
  mine.stop = () => recorder.state === "recording" && recorder.stop();
  recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
  recorder.addEventListener("stop", () => {
    meter.stop();
    for (const track of stream.getTracks()) track.stop();
    const seconds = (performance.now() - mine.begun) / 1000;
    state.recorder = null;
    quiet();
    if (seconds < 0.4) {
      say("That was too short: hold the button while you speak.", true);
      return;
    }
    ask(new Blob(parts, { type: recorder.mimeType }), "voice").catch(failed);
  });
  recorder.start();
  mine.begun = performance.now();
  $("speak").classList.add("on");
  $("level").classList.add("on");
  $("speak-text").textContent = "Listening – let go to search";
  say("Listening …");
  mine.timer = setTimeout(() => mine.stop(), 1000 * (state.about.voice_seconds - 1));
  if (!mine.wanted) mine.stop();
}

function stopSpeaking() {
  if (!state.recorder) return;
  state.recorder.wanted = false;
  if (state.recorder.stop) state.recorder.stop();
}

function quiet() {
  $("speak").classList.remove("on");
  $("level").classList.remove("on");
  $("speak-text").textContent = "Hold to speak";
}

function levelOf(stream) {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  let running = true;
  (function draw() {
    if (!running) return;
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, value) => sum + value * value, 0) / samples.length;
    const share = Math.min(1, Math.max(0, 1 + Math.log10(power + 1e-9) / 5));
    $("level").firstElementChild.style.width = `${100 * share}%`;
    requestAnimationFrame(draw);
  })();
  return {
    stop() {
      running = false;
      $("level").firstElementChild.style.width = "0";
      context.close();
    },
  };
}

const speak = $("speak");
speak.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  speak.setPointerCapture(event.pointerId);
  startSpeaking().catch(failed);
});
for (const name of ["pointerup", "pointercancel"]) speak.addEventListener(name, stopSpeaking);
// Enter and assistive technology click without a pointer: once to begin, once to end.
speak.addEventListener("click", (event) => {
  if (event.detail) return;
  if (state.recorder) stopSpeaking();
  else startSpeaking().catch(failed);
});
speak.addEventListener("contextmenu", (event) => event.preventDefault());

const ELSEWHERE = "input, select, textarea, summary, audio, a";
document.addEventListener("keydown", (event) => {
  if (event.code !== "Space" || event.target.closest(ELSEWHERE) || $("main").hidden) return;
  event.preventDefault();
  if (!event.repeat) startSpeaking().catch(failed);
});
document.addEventListener("keyup", (event) => {
  if (event.code !== "Space" || !state.recorder) return;
  event.preventDefault();
  stopSpeaking();
});
window.addEventListener("blur", stopSpeaking);

// Files

$("file").addEventListener("change", () => {
  const [file] = $("file").files;
  if (file) ask(file, kindOf(file)).catch(failed);
  $("file").value = "";
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  $("drop").classList.add("over");
});
document.addEventListener("dragleave", () => $("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file && state.about) ask(file, kindOf(file)).catch(failed);
});

open().catch(failed);
