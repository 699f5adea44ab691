// Buttons that need care: the emergency stop, and those that act on their second press only.

import { ask, makeWay, pause, Trouble } from "./server.js";

const TOO_SOON = 400; // a double click is one press [ms]
const ARMED = 5000; // how long the second press is waited for [ms]
const HEARD = 700; // a stop that is not confirmed by then is told to be so [ms]

/** Has `act` called by a second press; the first one makes the button ask `question`. */
export function onSecondPress(button, question, act) {
  const label = button.textContent;
  let armedAt = null, timer;
  const arm = (armed) => {
    armedAt = armed ? performance.now() : null;
    button.textContent = armed ? question : label;
    button.classList.toggle("armed", armed);
    clearTimeout(timer);
    if (armed) timer = setTimeout(() => arm(false), ARMED);
  };
  button.setAttribute("aria-live", "polite");
  button.addEventListener("click", () => {
    if (armedAt === null) return arm(true);
    if (performance.now() - armedAt < TOO_SOON) return;
    arm(false);
    act();
  });
}

export class EmergencyStop {
  /**
   * @param {HTMLButtonElement} button
   * @param {HTMLElement} unheard  shown while it has not reached the server
   * @param {function} tell  gets the server's words
   */
  constructor(button, unheard, tell) {
    Object.assign(this, { button, unheard, tell, on: false, pressedAt: null });
    // When it goes down, not when it comes up; a click without that is the keyboard's.
    button.addEventListener("pointerdown", (event) => event.button === 0 && this.press());
    button.addEventListener("click", (event) => event.detail === 0 && this.press());
  }

  /** Sent until the server has heard it: repeating a stop is safe. */
  async press() {
    if (this.pressedAt !== null) return;
    this.pressedAt = performance.now();
    this.on = false; // what was told before is no answer to this press
    this.show();
    for (;;) {
      makeWay();
      try {
        await ask("emergency_stop", { body: { why: "pressed at the console" } });
        break;
      } catch (error) {
        if (!(error instanceof Trouble) || error.status !== null) {
          this.tell(`Emergency stop: ${error.message}`);
          break;
        }
        if (this.on) break; // heard, and still at it
        await pause(200);
      }
    }
    this.pressedAt = null;
    this.show();
  }

  /** @param {boolean} on  as the server tells it */
  show(on = this.on) {
    this.on = on;
    const sending = this.pressedAt !== null && !on;
    this.button.textContent = sending ? "STOPPING …" : on ? "STOP IS ON" : "EMERGENCY STOP";
    this.button.setAttribute("aria-pressed", on);
    this.unheard.hidden = !(sending && performance.now() - this.pressedAt > HEARD);
  }
}
