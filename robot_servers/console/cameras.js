// The cameras. Pictures are asked for one by one: each is as old as its request at most, and no
// stream holds a connection that a stop may need.

import { ask, pause } from "./server.js";

const PERIOD = 100; // of each camera, where the connection allows it [ms]
const AT_ONCE = 2; // requests under way
const STALE = 1000; // without a new picture [ms]

export class Cameras {
  /**
   * @param {HTMLElement} section
   * @param {object} sizes  [height, width] by name
   */
  constructor(section, sizes) {
    this.eyes = Object.entries(sizes).map(([name, size]) => new Eye(name, size));
    section.replaceChildren(...this.eyes.map((eye) => eye.figure));
    section.hidden = !this.eyes.length;
    for (let i = 0; i < Math.min(AT_ONCE, this.eyes.length); i++) this.work();
  }

  /** Ask for the picture that is asked for next, again and again. */
  async work() {
    for (;;) {
      while (document.hidden) await pause(100);
      const free = this.eyes.filter((eye) => !eye.busy);
      const eye = free.reduce((a, b) => (a.askedAt <= b.askedAt ? a : b));
      eye.busy = true;
      await pause(eye.askedAt + PERIOD - performance.now());
      await eye.look();
      eye.busy = false;
    }
  }

  show() {
    this.eyes.forEach((eye) => eye.show());
  }
}

class Eye {
  constructor(name, [height, width]) {
    this.path = `cameras/${name.split("/").map(encodeURIComponent).join("/")}.jpg`;
    this.askedAt = this.freshAt = -Infinity;
    this.number = this.since = null;
    this.trouble = "";
    this.figure = document.createElement("figure");
    this.canvas = Object.assign(document.createElement("canvas"), { width, height });
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `Camera ${name}`);
    const caption = document.createElement("figcaption"), save = document.createElement("a");
    save.textContent = "save";
    save.href = this.path;
    save.download = `${name.replaceAll("/", "_")}.jpg`;
    save.setAttribute("aria-label", `Save a picture of ${name}`);
    caption.append(name, save);
    this.note = document.createElement("p");
    this.note.hidden = true;
    this.figure.append(this.canvas, this.note, caption);
  }

  async look() {
    this.askedAt = performance.now();
    try {
      const response = await ask(this.path);
      const picture = await createImageBitmap(await response.blob());
      const number = response.headers.get("X-Frame-Number");
      if (number !== this.number) {
        this.freshAt = this.askedAt;
        this.since = new Date();
      }
      this.number = number;
      this.trouble = "";
      this.canvas.width = picture.width;
      this.canvas.height = picture.height;
      this.canvas.getContext("2d").drawImage(picture, 0, 0);
      picture.close();
    } catch (error) {
      this.trouble = error.message;
    }
  }

  show() {
    const stale = performance.now() - this.freshAt > STALE;
    const when = this.since ? `no new picture since ${this.since.toLocaleTimeString()}` : "no picture yet";
    this.figure.classList.toggle("stale", stale);
    this.note.hidden = !stale;
    if (stale) this.note.textContent = this.trouble ? `${when}: ${this.trouble}` : when;
  }
}
