// What the operator holds: keys, on-screen buttons, gamepads and SpaceMice, raw.
// What it all means is decided in Python.

// Names of keys in teleop/keys.py by KeyboardEvent.code: places on the keyboard, whatever is printed there.
const KEY_NAMES = {
  ArrowUp: "up", ArrowDown: "down", ArrowLeft: "left", ArrowRight: "right",
  ShiftLeft: "shift", ShiftRight: "shift", ControlLeft: "ctrl", ControlRight: "ctrl",
  AltLeft: "alt", AltRight: "alt", MetaLeft: "cmd", MetaRight: "cmd", CapsLock: "caps_lock",
  Space: "space", Tab: "tab", Enter: "enter", NumpadEnter: "enter", Escape: "esc",
  Backspace: "backspace", Delete: "delete", Insert: "insert", Home: "home", End: "end",
  PageUp: "page_up", PageDown: "page_down", Minus: "-", Equal: "=", BracketLeft: "[", BracketRight: "]",
  Backslash: "\\", Semicolon: ";", Quote: "'", Backquote: "`", Comma: ",", Period: ".", Slash: "/",
};
for (const letter of "ABCDEFGHIJKLMNOPQRSTUVWXYZ") KEY_NAMES["Key" + letter] = letter.toLowerCase();
for (let i = 0; i < 10; i++) KEY_NAMES["Digit" + i] = KEY_NAMES["Numpad" + i] = String(i);
for (let i = 1; i <= 12; i++) KEY_NAMES["F" + i] = "f" + i;

const DOWN = 0.5; // a gamepad's button pressed further than this is down, as in teleop/browser.py
const REST = [0, 0, 0, 0, 0, 0];
const SILENCE = 500; // of a SpaceMouse that is not at rest [ms]
const MANY = 4; // devices of a kind that a message holds
const MULTI_AXIS = { usagePage: 0x01, usage: 0x08 }; // HID: what a SpaceMouse is, and a Logitech keyboard is not
const SPACEMOUSE = [{ vendorId: 0x256f, ...MULTI_AXIS }, { vendorId: 0x046d, ...MULTI_AXIS }];

export class Inputs {
  /**
   * @param {object} setup  of the controls, from the server: keys as [name, meaning], roles, dead_zone, mouse_range
   * @param {function} onEdge  called when something goes down or up, to be told at once
   * @param {function} onTrouble  gets a line for the operator
   */
  constructor(setup, onEdge, onTrouble) {
    this.setup = setup;
    this.bound = new Set(setup.keys.map(([key]) => key));
    this.onEdge = onEdge;
    this.onTrouble = onTrouble;
    this.presses = {};
    this.keys = new Map(); // name by the code of what is down
    this.roles = new Set();
    this.padButtons = new Map(); // those down at the last look, by the gamepad's index
    this.pads = [];
    this.mice = [];
    this.attentive = document.hasFocus(); // nothing counts while the operator is elsewhere
    addEventListener("keydown", (event) => this.keyDown(event));
    addEventListener("keyup", (event) => this.keyUp(event));
    addEventListener("focus", () => this.attend(true));
    addEventListener("pointerdown", () => this.attend(true));
    addEventListener("blur", () => this.attend(false));
    document.addEventListener("visibilitychange", () => this.attend(!document.hidden && document.hasFocus()));
    if (navigator.hid) this.findMice();
  }

  get held() {
    if (!this.attentive) return [];
    const keys = new Set([...this.keys.values()].map((name) => "key:" + name));
    return [...keys, ...[...this.roles].map((role) => "role:" + role)];
  }

  /** Gamepads and SpaceMice as a message holds them. */
  get sticks() {
    if (!this.attentive) return { pads: [], mice: [] };
    return { pads: this.pads, mice: this.mice.map(({ axes, buttons }) => ({ axes, buttons })) };
  }

  get padsOut() { return this.out(this.sticks.pads, 1); }
  get miceOut() { return this.out(this.sticks.mice, this.setup.mouse_range); }

  /** Whether anything is held or out of its middle. */
  get active() { return this.held.length > 0 || this.padsOut || this.miceOut; }

  out(sticks, full) {
    const zone = this.setup.dead_zone;
    return sticks.some(({ axes, buttons }) =>
      axes.some((axis) => Math.abs(axis) > zone * full) || buttons.some((button) => button > zone));
  }

  attend(attentive) {
    if (attentive === this.attentive) return;
    this.attentive = attentive;
    this.keys.clear();
    this.roles.clear();
    this.onEdge();
  }

  press(name) {
    this.presses[name] = (this.presses[name] || 0) + 1;
    this.onEdge();
  }

  keyDown(event) {
    const name = KEY_NAMES[event.code];
    if (name === "cmd") this.attend(false); // macOS tells of no key that goes up while this one is down
    if (!this.bound.has(name)) return;
    const chord = (key, down) => down && !this.bound.has(key); // ctrl+r shall still reload
    if (chord("ctrl", event.ctrlKey) || chord("alt", event.altKey) || chord("cmd", event.metaKey)) return;
    event.preventDefault();
    this.attend(true);
    if (event.repeat || this.keys.has(event.code)) return;
    this.keys.set(event.code, name);
    this.press("key:" + name);
  }

  keyUp(event) {
    if (KEY_NAMES[event.code] === "cmd") this.attend(document.hasFocus());
    if (!this.keys.delete(event.code)) return;
    event.preventDefault();
    this.onEdge();
  }

  roleDown(role) {
    if (this.roles.has(role)) return;
    this.roles.add(role);
    this.press("role:" + role);
  }

  roleUp(role) {
    if (this.roles.delete(role)) this.onEdge();
  }

  /** Look at what does not tell by itself. */
  poll() {
    this.lookAtPads();
    this.silenceMice();
  }

  lookAtPads() {
    const found = gamepads();
    this.unknownPad = found.find((pad) => pad.mapping !== "standard");
    const known = found.filter((pad) => pad.mapping === "standard").slice(0, MANY);
    this.padName = known.length ? known[0].id : null;
    this.pads = known.map((pad) => ({
      axes: pad.axes.slice(0, 4).map((axis) => round(Math.max(-1, Math.min(1, axis)))),
      buttons: pad.buttons.slice(0, 32).map((button) => round(Math.max(0, Math.min(1, button.value)))),
    }));
    const seen = new Map();
    known.forEach((pad, i) => {
      const down = new Set();
      this.pads[i].buttons.forEach((level, number) => level > DOWN && down.add(number));
      // The press that makes a browser notice a gamepad at all is no command.
      const before = this.padButtons.get(pad.index) || down;
      seen.set(pad.index, down);
      for (const number of down) if (!before.has(number) && this.attentive) this.press("pad:" + number);
    });
    this.padButtons = seen;
  }

  /** SpaceMice that the operator has let this page use before; and none that was pulled out. */
  async findMice() {
    navigator.hid.addEventListener("disconnect", ({ device }) => {
      this.mice = this.mice.filter((mouse) => mouse.device !== device);
      this.onEdge();
    });
    navigator.hid.addEventListener("connect", ({ device }) => this.openMouse(device));
    for (const device of await navigator.hid.getDevices()) await this.openMouse(device);
  }

  /** Let the operator choose one; a browser shows its list only after a click. */
  async chooseMouse() {
    for (const device of await navigator.hid.requestDevice({ filters: SPACEMOUSE })) await this.openMouse(device);
  }

  async openMouse(device) {
    // One device may come as several, of which one has the axes.
    const isMouse = device.collections.some((c) => c.usagePage === MULTI_AXIS.usagePage && c.usage === MULTI_AXIS.usage);
    if (!isMouse || this.mice.length >= MANY || this.mice.some((mouse) => mouse.device === device)) return;
    const mouse = { device, axes: REST.slice(), buttons: new Array(32).fill(0), heard: 0 };
    this.mice.push(mouse);
    try {
      if (!device.opened) await device.open();
    } catch (error) {
      this.mice = this.mice.filter((other) => other !== mouse);
      this.onTrouble(`The SpaceMouse does not open (${error.message}). On Linux a udev rule must allow its hidraw device.`);
      return;
    }
    device.addEventListener("inputreport", ({ reportId, data }) => this.readReport(mouse, reportId, data));
  }

  /** Out of its middle a mouse speaks all the time; one that falls silent has lost its radio. */
  silenceMice() {
    const now = performance.now();
    for (const mouse of this.mice) if (now - mouse.heard > SILENCE) mouse.axes = REST.slice();
  }

  /** Report 1: translation, in newer devices rotation too; 2: rotation; 3: a bit per button. */
  readReport(mouse, reportId, data) {
    if (!this.mice.includes(mouse)) return; // it was pulled out, and is a new one now
    mouse.heard = performance.now();
    const numbers = (count) => Array.from({ length: count }, (_, i) => data.getInt16(2 * i, true));
    if (reportId === 1 && data.byteLength >= 12) mouse.axes = numbers(6);
    else if (reportId === 1 && data.byteLength >= 6) mouse.axes.splice(0, 3, ...numbers(3));
    else if (reportId === 2 && data.byteLength >= 6) mouse.axes.splice(3, 3, ...numbers(3));
    else if (reportId === 3) {
      for (let i = 0; i < Math.min(32, 8 * data.byteLength); i++) {
        const down = (data.getUint8(i >> 3) >> (i & 7)) & 1;
        if (down && !mouse.buttons[i] && this.attentive) this.press("mouse:" + i);
        mouse.buttons[i] = down;
      }
      this.onEdge();
    }
  }
}

/** Those that are there; some browsers refuse the question outside of localhost and https. */
function gamepads() {
  try {
    return [...navigator.getGamepads()].filter((pad) => pad && pad.connected);
  } catch {
    return [];
  }
}

function round(value) {
  return Math.round(value * 1000) / 1000;
}
