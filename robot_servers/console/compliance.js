// The form of one arm's impedance parameters. Nothing is sent before it is applied.

const FLOATING = /stiffness|Ki$/; // without these an arm can be guided by hand

export class ComplianceForm {
  /**
   * @param {HTMLElement} details
   * @param {string} arm
   * @param {object} ranges  {low, high, default} by name
   * @param {function} send  gets the changed values by name; resolves to those clamped, null if refused
   */
  constructor(details, arm, ranges, send) {
    Object.assign(this, { details, arm, ranges, send, values: {} });
    this.told = details.querySelector(".told");
    this.inputs = {};
    const names = Object.keys(ranges).sort(), clips = names.filter((name) => name.includes("clip"));
    const others = names.filter((name) => !clips.includes(name)).reverse(); // stiffness first
    details.querySelector(".fields").append(...[...others, ...clips].map((name) => this.field(name)));
    this.inputs[clips[0]]?.parentElement.classList.add("row");
    const form = details.querySelector("form");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.apply();
    });
    for (const button of form.querySelectorAll("[data-fill]")) {
      button.addEventListener("click", () => this.fill(button.dataset.fill));
    }
  }

  field(name) {
    const { low, high, default: usual } = this.ranges[name];
    const field = document.createElement("p"), label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "number", min: low, max: high, step: "any" });
    const range = document.createElement("small");
    input.id = `${this.arm}-${name}`;
    label.htmlFor = input.id;
    label.textContent = name;
    range.id = `${input.id}-range`;
    range.textContent = `${low} to ${high}, default ${usual}`;
    input.setAttribute("aria-describedby", range.id);
    input.addEventListener("input", () => this.mark(name));
    field.append(label, input, range);
    this.inputs[name] = input;
    return field;
  }

  /** What the server has now; fields that a person changed stay as they are. */
  show(values) {
    for (const [name, input] of Object.entries(this.inputs)) {
      const untouched = !this.changed(name);
      this.values[name] = values[name];
      if (untouched) input.value = values[name];
      this.mark(name);
    }
  }

  changed(name) {
    return name in this.values && this.inputs[name].valueAsNumber !== this.values[name];
  }

  mark(name) {
    this.inputs[name].classList.toggle("changed", this.changed(name));
  }

  /** @param {string} what  "now", "default", or "float" */
  fill(what) {
    for (const [name, input] of Object.entries(this.inputs)) {
      if (what === "default") input.value = this.ranges[name].default;
      else if (what === "now") input.value = this.values[name];
      else if (FLOATING.test(name)) input.value = 0;
      this.mark(name);
    }
  }

  async apply() {
    const names = Object.keys(this.inputs).filter((name) => this.changed(name));
    if (!names.length) {
      this.told.textContent = "Nothing was changed.";
      return;
    }
    const wanted = Object.fromEntries(names.map((name) => [name, this.inputs[name].valueAsNumber]));
    this.told.textContent = "";
    const clamped = await this.send(wanted); // an empty field goes out as null, and is refused
    if (clamped === null) return;
    this.values = { ...this.values, ...wanted, ...clamped };
    for (const name of names) this.inputs[name].value = this.values[name];
    names.forEach((name) => this.mark(name));
    const said = Object.entries(clamped).map(([name, value]) => `${name} clamped to ${value}`);
    this.told.textContent = ["Applied", ...said].join("; ") + ".";
  }
}
