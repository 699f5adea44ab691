// The operator's page: puts inputs, link and cameras together and shows what comes back.

import { Cameras } from "./cameras.js";
import { Inputs } from "./inputs.js";
import { Link } from "./link.js";

const $ = (id) => document.getElementById(id);
const token = new URLSearchParams(location.search).get("token") || "";

const ROLE_NAMES = {
  takeover: ["Take over", "hold"], pause: ["Pause", "again to go on"], success: ["Success", ""],
  failure: ["Failure", ""], discard: ["Discard", "do it again"], gripper: ["Gripper", "close or open"],
  switch_arm: ["Other arm", ""], close: ["Close", "gripper"], open: ["Open", "gripper"], fine: ["Slow", "hold"],
};
const MOTION_NAMES = {
  "+x": "away", "-x": "towards", "+y": "left", "-y": "right", "+z": "up", "-z": "down",
  "+rx": "roll right", "-rx": "roll left", "+ry": "pitch down", "-ry": "pitch up", "+rz": "yaw left", "-rz": "yaw right",
};
const KEY_CAPS = { up: "↑", down: "↓", left: "←", right: "→", backspace: "⌫", enter: "⏎", delete: "del" };
const KEY_GROUPS = { Move: /^[+-][xyz]$/, Turn: /^[+-]r[xyz]$/, Else: /^[a-z]/ }; // by meaning
const NO_CONTROLS = { keys: [], roles: [], dead_zone: 1, mouse_range: 1 };

let inputs, link, answer = null, told = "", toldUntil = 0;

async function start() {
  let response;
  try {
    response = await fetch("setup", { headers: { "X-Token": token } });
  } catch {
    return setTimeout(start, 500);
  }
  if (!response.ok) return fatal(await response.text());
  const setup = await response.json();
  const driving = setup.controls !== null;
  inputs = new Inputs(setup.controls || NO_CONTROLS, () => link.urge(), tell);
  link = new Link(token, inputs, (newer) => show(setup.modes, newer), refused);
  new Cameras($("cameras"), token);
  if (driving) {
    document.querySelector("aside").hidden = $("buttons").hidden = false;
    makeLegend(setup.controls.keys, await keyboardLayout());
    makeButtons(setup.controls.roles);
    makeDevices();
  }
  setInterval(() => showState(setup.modes, driving), 100);
}

function fatal(text) {
  $("mode").textContent = "NOT CONNECTED";
  showBanner(text.trim());
}

function refused(status, text) {
  tell(status === 403 ? "This page belongs to a run that has ended; open the address that the new one printed." : text);
}

/** A line that goes away by itself. */
function tell(text) {
  told = text;
  toldUntil = performance.now() + 5000;
}

function show(modes, newer) {
  answer = newer;
  const status = newer.status;
  $("task").textContent = status.task || "–";
  $("episode").textContent = status.episode;
  $("step").textContent = status.step;
  $("seconds").textContent = status.seconds.toFixed(1) + " s";
  $("arm").textContent = status.arm ? status.arm + " arm" : "";
  $("success").textContent = percent(status.success_rate);
  $("interventions").textContent = percent(status.intervention_rate);
  showValue(status.value);
  $("last").textContent = "last: " + status.last_outcome;
  $("last").hidden = status.last_outcome === null;
  $("kept").textContent = `kept ${status.kept} of ${status.wanted}`;
  $("kept").hidden = status.wanted === null;
  $("message").textContent = status.message;
  const recent = status.recent.map((success) => (success ? "success" : "failure"));
  const marks = [...new Array(20 - recent.length).fill(""), ...recent];
  if (!$("recent").childElementCount) $("recent").append(...marks.map(() => document.createElement("i")));
  marks.forEach((mark, i) => ($("recent").children[i].className = mark));
  showState(modes, newer.driver !== "view");
}

/** Once there has been a value its place stays. */
function showValue(value) {
  $("value").hidden &&= value === null;
  $("value").querySelector("b").textContent = value === null ? "–" : value.toFixed(2);
  $("value").style.setProperty("--share", Math.min(Math.max(value || 0, 0), 1));
}

function percent(rate) {
  return rate === null ? "–" : Math.round(100 * rate) + " %";
}

/** The frame, the banner and the lamps: what holds now, answer or no answer. */
function showState(modes, driving) {
  const connected = link.connected;
  const mode = modes[connected && answer ? answer.status.mode : "disconnected"];
  $("mode").textContent = mode.text;
  document.documentElement.style.setProperty("--mode", mode.color);
  const other = connected && answer.driver === "other";
  document.body.classList.toggle("other", other);
  document.body.classList.toggle("lost", !connected);
  $("take").hidden = !other;
  if (performance.now() < toldUntil) showBanner(told);
  else if (!connected) showBanner("No answer from the program: nothing that you do here reaches the arm.");
  else if (other) showBanner("Another page is in control.");
  else if (driving && answer.slow) showBanner("The connection is too slow: motions are not carried out.");
  else if (driving && !inputs.attentive) showBanner("Click anywhere on this page to drive.");
  else if (answer.age > 10 && !answer.status.paused) showBanner(`The program has made no step for ${Math.round(answer.age)} s.`);
  else showBanner("");
  if (driving) showDevices();
}

function showBanner(text) {
  $("banner").hidden = !text;
  $("banner-text").textContent = text;
}

/** What is printed on the keys, by code; empty where a browser does not say. */
async function keyboardLayout() {
  try {
    return await navigator.keyboard.getLayoutMap();
  } catch {
    return new Map();
  }
}

function makeLegend(keys, layout) {
  for (const [title, pattern] of Object.entries(KEY_GROUPS)) {
    const bindings = keys.filter(([, meaning]) => pattern.test(meaning));
    if (!bindings.length) continue;
    const heading = document.createElement("h2");
    heading.textContent = title;
    $("legend").append(heading);
    for (const [key, meaning] of bindings) {
      const cap = document.createElement("kbd"), label = document.createElement("span");
      const printed = layout.get("Key" + key.toUpperCase()) || key; // keys go by place: W is Z on a French one
      cap.textContent = KEY_CAPS[key] || (printed.length === 1 ? printed.toUpperCase() : printed);
      cap.dataset.key = key;
      label.textContent = MOTION_NAMES[meaning] || ROLE_NAMES[meaning][0].toLowerCase();
      $("legend").append(cap, label);
    }
  }
}

function makeButtons(roles) {
  for (const role of roles) {
    const [name, note] = ROLE_NAMES[role];
    const button = document.createElement("button"), small = document.createElement("small");
    button.type = "button";
    button.tabIndex = -1;
    button.className = role;
    button.dataset.role = role;
    small.textContent = note;
    button.append(name, small);
    button.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      inputs.attend(true);
      button.setPointerCapture(event.pointerId);
      inputs.roleDown(role);
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      button.addEventListener(end, () => inputs.roleUp(role));
    }
    button.addEventListener("contextmenu", (event) => event.preventDefault());
    $("buttons").append(button);
  }
}

function makeDevices() {
  $("connect").hidden = !navigator.hid;
  $("connect").addEventListener("click", () => inputs.chooseMouse());
  const port = location.port || 80;
  $("hint").hidden = window.isSecureContext && Boolean(navigator.hid);
  $("hint").textContent = window.isSecureContext
    ? "This browser has no WebHID: for a SpaceMouse take Chrome or Edge."
    : "Browsers allow gamepads and SpaceMice on localhost or https only. On this machine run " +
      `ssh -L ${port}:127.0.0.1:${port} ${location.hostname} and open http://127.0.0.1:${port}/${location.search}`;
}

function showDevices() {
  const lamp = (id, state) => ($(id).className = state);
  lamp("keyboard-lamp", inputs.keys.size ? "active" : inputs.attentive ? "ready" : "");
  lamp("pad-lamp", inputs.padsOut ? "active" : inputs.padName ? "ready" : "");
  lamp("mouse-lamp", inputs.miceOut ? "active" : inputs.mice.length ? "ready" : "");
  $("pad").textContent = inputs.padName || (inputs.unknownPad
    ? `${inputs.unknownPad.id}: this browser does not know its layout` : "Gamepad: press a button on it");
  $("mouse").textContent = inputs.mice.map((mouse) => mouse.device.productName).join(", ")
    || (navigator.hid ? "" : "SpaceMouse: not in this browser");
  $("connect").hidden = !navigator.hid || inputs.mice.length > 0;
  const down = new Set(inputs.keys.values());
  for (const cap of $("legend").querySelectorAll("kbd")) cap.classList.toggle("down", down.has(cap.dataset.key));
  for (const button of $("buttons").children) button.classList.toggle("down", inputs.roles.has(button.dataset.role));
}

$("take").addEventListener("click", () => link.take());
document.addEventListener("click", () => document.activeElement.blur()); // else the space bar would click again
start();
