// The page's line to the program: what is held goes there, the status comes back, in one request.

const ACTIVE = 33, IDLE = 200; // between messages, while something is held and else [ms]
const IN_FLIGHT = 4; // messages under way at once; a browser opens six connections, one is for images
const PATIENCE = 1000; // with a message, and until no answer counts as no connection [ms]

export class Link {
  /**
   * @param {string} token
   * @param {Inputs} inputs
   * @param {function} onAnswer  gets every answer that is newer than the last
   * @param {function} onRefusal  gets the status and the text of a refusal
   */
  constructor(token, inputs, onAnswer, onRefusal) {
    Object.assign(this, { token, inputs, onAnswer, onRefusal });
    this.page = Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
    this.seq = 0;
    this.seen = null;
    this.flying = 0;
    this.sentAt = -Infinity;
    this.answeredAt = -Infinity;
    this.due = true; // something must be told as soon as possible
    this.sticks = ""; // as last told
    this.taking = false; // the person asked for control, and no answer has said yes or no
    this.left = false; // nothing must follow the last word
    addEventListener("pagehide", () => {
      this.send({ leave: true });
      this.left = true;
    });
    addEventListener("pageshow", () => (this.left = false));
    setInterval(() => this.tick(), 16);
  }

  get connected() {
    return performance.now() - this.answeredAt < PATIENCE;
  }

  /** Something went down or up: tell it now, not at the next look. */
  urge() {
    this.due = true;
    queueMicrotask(() => this.due && this.send());
  }

  /** Ask for control until the program has said yes or no: a message may be lost or overtaken. */
  take() {
    this.taking = true;
    this.urge();
  }

  tick() {
    this.inputs.poll();
    const often = this.inputs.active || this.slow || JSON.stringify(this.inputs.sticks) !== this.sticks;
    if (this.due || performance.now() - this.sentAt >= (often ? ACTIVE : IDLE)) this.send();
  }

  /** Tell now, unless too much is under way: then once an answer has come. */
  async send({ leave = false } = {}) {
    this.due = this.flying >= IN_FLIGHT && !leave;
    if (this.due || this.left) return;
    const sticks = leave ? { pads: [], mice: [] } : this.inputs.sticks;
    const message = {
      page: this.page, seq: ++this.seq, seen: this.seen, take: this.taking, leave,
      held: leave ? [] : this.inputs.held,
      presses: this.inputs.presses,
      ...sticks,
    };
    this.sticks = JSON.stringify(sticks);
    this.sentAt = performance.now();
    this.flying++;
    try {
      const response = await fetch("input", {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-Token": this.token },
        body: JSON.stringify(message),
        keepalive: leave, // sent even though the page goes away
        signal: AbortSignal.timeout(PATIENCE),
      });
      if (response.ok) this.receive(await response.json());
      else this.onRefusal(response.status, (await response.text()).trim());
    } catch {
      // No answer: `connected` tells, and the next message tries again.
    } finally {
      this.flying--;
    }
  }

  receive(answer) {
    if (answer.refused && this.taking) this.onRefusal(409, answer.refused);
    if (answer.refused || answer.driver === "you") this.taking = false;
    if (this.seen !== null && answer.tick <= this.seen) return; // overtaken
    this.seen = answer.tick;
    this.slow = answer.slow;
    this.answeredAt = performance.now();
    this.onAnswer(answer);
  }
}
