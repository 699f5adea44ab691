// What the server tells: the state ten times a second, and its health once a second, which is
// told even where no state can be read.

import { ask, pause } from "./server.js";

const HZ = 10;
const STALE = 500; // without a state [ms]
const SILENT = 2000; // without any event: the connection is made anew [ms]
const UNKNOWN = 2500; // without an answer about its health [ms]

export class Feed {
  /**
   * @param {function} onState  gets every state
   * @param {function} onHealth  is called after every answer about the health, and awaited
   */
  constructor(onState, onHealth) {
    Object.assign(this, { onState, onHealth });
    this.state = this.health = this.since = null; // since: the clock time of the last state
    this.freshAt = this.healthAt = -Infinity;
    this.trouble = "";
  }

  start() {
    this.follow();
    this.watch();
  }

  get stale() {
    return performance.now() - this.freshAt > STALE;
  }

  /** The errors and the emergency stop as last told; null where that is too long ago. */
  get told() {
    if (!this.stale) return this.state;
    return performance.now() - this.healthAt < UNKNOWN ? this.health : null;
  }

  /** Read events, again and again. A page that nobody sees takes no stream from others. */
  async follow() {
    for (;;) {
      const giveUp = new AbortController(), end = () => document.hidden && giveUp.abort();
      document.addEventListener("visibilitychange", end);
      try {
        await this.read(giveUp);
      } catch (error) {
        this.trouble = error.message;
      }
      document.removeEventListener("visibilitychange", end);
      await pause(300);
      while (document.hidden) await pause(100);
    }
  }

  async read(giveUp) {
    const response = await ask(`events?hz=${HZ}`, { signal: giveUp.signal });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const silent = setTimeout(() => giveUp.abort(), SILENT);
      const { value, done } = await reader.read().catch(() => ({ done: true }));
      clearTimeout(silent);
      if (done) throw new Error(giveUp.signal.aborted ? "nothing came from the server" : "the connection was lost");
      const events = (text + value).split("\n\n");
      text = events.pop();
      events.forEach((event) => this.receive(event));
    }
  }

  receive(event) {
    const [kind, data] = event.split("\n").map((line) => line.slice(line.indexOf(":") + 2));
    const told = JSON.parse(data);
    if (kind !== "state") {
      this.trouble = told.error;
      return;
    }
    this.state = told;
    this.freshAt = performance.now();
    this.since = new Date();
    this.trouble = "";
    this.onState(told);
  }

  async watch() {
    for (;;) {
      try {
        this.health = await (await ask("health")).json();
        this.healthAt = performance.now();
        await this.onHealth();
      } catch (error) {
        if (this.stale && !this.trouble) this.trouble = error.message;
      }
      await pause(1000);
      while (document.hidden) await pause(100);
    }
  }
}
