"use strict";
// The page of an archive: speak or drop a file, see what is found. It asks only its own service.

const $ = (id) => document.getElementById(id);
const state = { token: sessionStorage.getItem("token") || "", about: null, recorder: null, urls: [] };

function heads() {
  return state.token ? { Authorization: `Bearer ${state.token}` } : {};
}

function say(text, isError = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", isError);
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
  if (kind === "voice") $("query-voice").src = url;
  else $("query-image").src = url;
  $("warnings").replaceChildren();
  $("found").hidden = true;
}

// A picture that the browser cannot draw, such as a GeoTIFF, is searched with all the same.
$("query-image").addEventListener("error", () => { $("query-image").hidden = true; });

// Showing

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
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
  $("confidence").textContent = found.confidence ? inWords(found.confidence) : "";
  $("hits").replaceChildren(...found.hits.map(hit));
  map(found.hits);
  $("found-head").focus({ preventScroll: true });
  for (const card of $("hits").children) load(card);
}

function inWords(confidence) {
  const share = Math.round(100 * confidence.value);
  return `The first hit is at ${confidence.first} bits, the middle of the archive at ` +
    `${Math.round(confidence.median)}: it stands out by ${share} %.`;
}

function hit(one) {
  const card = element("li");
  card.id = `hit-${one.rank}`;
  card.dataset.item = one.id;
  card.dataset.modality = one.modality;
  if (one.modality === "image") {
    const picture = element("div", "…", "picture");
    picture.dataset.alt = [one.label, one.caption, one.name].filter(Boolean).join(", ");
    card.append(picture);
  } else {
    const player = element("audio");
    player.controls = true;
    player.setAttribute("aria-label", `Voice ${one.name}`);
    card.append(player);
  }
  const words = element("div", undefined, "words");
  const head = element("strong");
  head.append(element("span", `${one.rank}. ${one.label || "no label"}`));
  head.append(element("span", `${one.distance} bits`, "bits"));
  words.append(head);
  if (one.caption) words.append(element("p", one.caption));
  words.append(element("p", one.name, "quiet"));
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
  const y = (south + north) / 2;
  const part = (value, [plus, minus]) => `${Math.abs(value).toFixed(4)}° ${value < 0 ? minus : plus}`;
  return `${part(y, "NS")}, ${part(x > 180 ? x - 360 : x, "EW")}`;
}

function svg(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function map(hits) {
  const places = hits.map((one) => [one, placeOf(one.columns)]).filter(([, place]) => place);
  $("map").hidden = !places.length;
  if (!places.length) return;
  const picture = $("map").querySelector("svg");
  const all = places.map(([, place]) => place).map(([w, s, e, n]) => [w, s, w > e ? e + 360 : e, n]);
  let [west, south] = [0, 1].map((side) => Math.min(...all.map((place) => place[side])));
  let [east, north] = [2, 3].map((side) => Math.max(...all.map((place) => place[side])));
  const middle = Math.max(0.1, Math.cos(((south + north) / 2) * Math.PI / 180));
  const edge = 0.15 * Math.max((east - west) * middle, north - south, 0.001);
  [west, east, south, north] = [west - edge / middle, east + edge / middle, south - edge, north + edge];
  const width = (east - west) * middle, height = north - south;
  const x = (degrees) => (degrees - west) * middle, y = (degrees) => north - degrees;
  const unit = Math.max(width, height) / 100;
  const parts = grid({ west, east, south, north, width, height, x, y, unit });
  places.forEach(([one], number) => {
    const [w, s, e, n] = all[number];
    const box = { width: Math.max((e - w) * middle, unit), height: Math.max(n - s, unit) };
    const shape = svg("rect", { class: "place", x: x(w), y: y(n), ...box });
    shape.append(svg("title", {}));
    shape.firstChild.textContent = `${one.rank}. ${one.label || one.name}`;
    shape.addEventListener("click", () => mark(one.rank));
    parts.push(shape);
  });
  picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
  picture.replaceChildren(...parts);
  $("map-text").textContent =
    `Where ${places.length} of the hits lie: ${south.toFixed(3)}° to ${north.toFixed(3)}° north, ` +
    `${west.toFixed(3)}° to ${east.toFixed(3)}° east.`;
}

function grid({ west, east, south, north, width, height, x, y, unit }) {
  const raw = Math.max(east - west, north - south) / 4;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= raw);
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  const parts = [];
  const size = { "font-size": 2.5 * unit };
  for (let at = Math.ceil(west / step) * step; at < east; at += step) {
    parts.push(svg("line", { x1: x(at), x2: x(at), y1: 0, y2: height }));
    const text = svg("text", { x: x(at) + unit / 2, y: height - unit, ...size });
    text.textContent = `${at.toFixed(digits)}°`;
    parts.push(text);
  }
  for (let at = Math.ceil(south / step) * step; at < north; at += step) {
    parts.push(svg("line", { x1: 0, x2: width, y1: y(at), y2: y(at) }));
    const text = svg("text", { x: unit / 2, y: y(at) - unit / 2, ...size });
    text.textContent = `${at.toFixed(digits)}°`;
    parts.push(text);
  }
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
