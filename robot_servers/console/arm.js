// What one arm shows: its state in numbers, plots and words, and its own buttons.

import { onSecondPress } from "./buttons.js";
import { ComplianceForm } from "./compliance.js";
import { Plot } from "./plots.js";
import { asPython, eulerDegrees, missing, norm } from "./pose.js";

const AXES = ["x", "y", "z"];
const MOVING = 0.002, TURNING = 0.02; // above which an arm is said to move [m/s, rad/s]

export class ArmPanel {
  /**
   * @param {string} name
   * @param {object} robot  as /robot tells it
   * @param {object} ranges  of the impedance parameters
   * @param {function} command  sends a body to a path; resolves to the response, null if refused
   */
  constructor(name, robot, ranges, command) {
    Object.assign(this, { name, command });
    const many = robot.arms.length > 1;
    this.element = document.getElementById("arm-template").content.firstElementChild.cloneNode(true);
    this.plots = this.$(".plots");
    this.element.id = `arm-${name}`;
    this.element.setAttribute("aria-label", many ? `${name} arm` : "Arm");
    this.$("h2").textContent = many ? `${name} arm` : "Arm";
    this.cells = {
      pose: fillTable(this.$(".pose tbody"), [...AXES.map((axis) => `${axis} m`), "roll °", "pitch °", "yaw °"], 3),
      forces: fillTable(this.$(".forces tbody"), ["x", "y", "z", "total"], 2),
      joints: fillTable(this.$(".joints tbody"), ["1", "2", "3", "4", "5", "6", "7"], 2),
    };
    this.makePlots();
    this.makeButtons(robot, many ? `${name}/` : "");
    this.compliance = new ComplianceForm(this.$(".compliance"), name, ranges, async (values) => {
      const answer = await command("configure", { compliance: { [name]: values } });
      return answer && ((await answer.json()).clamped[name] ?? {});
    });
  }

  $(selector) {
    return this.element.querySelector(selector);
  }

  makePlots() {
    const place = (kind) => [this.$(`canvas.${kind}`), this.$(`canvas.${kind}`).previousElementSibling];
    const force = { total: "text", x: "first", y: "second", z: "third" };
    this.force = new Plot(...place("force"), "Force [N]", force, 5);
    this.tracking = new Plot(...place("tracking"), "Tracking error", { mm: "text", "°": "first" }, 2);
  }

  makeButtons(robot, prefix) {
    const { name, command } = this;
    const q = { [name]: robot.reset_q[name] };
    onSecondPress(this.$(".joint-reset"), "Press again: it moves", () => command("reset_joints", { q }));
    this.$(".copy").addEventListener("click", () => this.copyPose());
    this.$(".copied .close").addEventListener("click", () => (this.$(".copied").hidden = true));
    this.$(".gripper").hidden = !robot.grippers.includes(name);
    for (const button of this.$(".gripper").querySelectorAll("button")) {
      const act = () => command(prefix + button.dataset.route, {});
      if (button.classList.contains("minor")) onSecondPress(button, "Press again: it moves", act);
      else button.addEventListener("click", act);
    }
  }

  /** A new state. */
  show(arm, target) {
    this.state = arm;
    const lack = target && missing(arm.tcp_pose, target);
    const measured = [...arm.tcp_pose.slice(0, 3), ...eulerDegrees(arm.tcp_pose)];
    const wanted = target && [...target.slice(0, 3), ...eulerDegrees(target)];
    this.cells.pose.forEach(([now, goal, left], i) => {
      const digits = i < 3 ? 4 : 1;
      now.textContent = fixed(measured[i], digits);
      goal.textContent = wanted ? fixed(wanted[i], digits) : "–";
      left.textContent = lack ? `${fixed(lack[i], 1)} ${i < 3 ? "mm" : "°"}` : "–";
    });
    const [force, torque] = [arm.tcp_force, arm.tcp_torque].map((values) => [...values, norm(values)]);
    this.cells.forces.forEach(([newtons, moments], i) => {
      newtons.textContent = fixed(force[i], 1);
      moments.textContent = fixed(torque[i], 2);
    });
    this.cells.joints.forEach(([position, speed], i) => {
      position.textContent = fixed(arm.q[i], 4);
      speed.textContent = fixed(arm.dq[i], 2);
    });
    this.$("meter").value = arm.gripper_pose;
    this.$(".gripper b").textContent = `${Math.round(100 * arm.gripper_pose)} % open`;
    this.moving = norm(arm.tcp_vel.slice(0, 3)) > MOVING || norm(arm.tcp_vel.slice(3)) > TURNING;
    this.following = target !== null;
    this.force.add([force[3], ...force.slice(0, 3)]);
    this.tracking.add(lack ? [norm(lack.slice(0, 3)), norm(lack.slice(3))] : [null, null]);
  }

  /** What is wrong, where it is known, and the plots' time. */
  showStatus(told, stale) {
    const fault = told?.errors[`${this.name} gripper`];
    this.$(".chip").textContent = told?.errors[this.name] ?? (stale ? "not known" : this.doing);
    this.$(".chip").classList.toggle("wrong", Boolean(told?.errors[this.name]));
    this.$(".fault").hidden = !fault;
    this.$(".fault").textContent = fault ?? "";
    this.$(".copy").disabled = stale;
    this.force.draw();
    this.tracking.draw();
  }

  get doing() {
    return (this.moving ? "moves" : "stands still") + (this.following ? ", follows commands" : ", holds its pose");
  }

  async copyPose() {
    const area = this.$(".copied textarea");
    area.value = asPython(this.name, this.state, new Date());
    this.$(".copied").hidden = false;
    area.select();
    let copied = true;
    try {
      await navigator.clipboard.writeText(area.value);
    } catch {
      copied = document.execCommand("copy"); // browsers have the other on localhost and https only
    }
    this.$(".copied p").textContent = copied ? "Copied." : "Copy it by hand: the browser does not let this page.";
  }
}

/** Rows with a heading and so many cells; the cells by row. */
function fillTable(body, names, columns) {
  return names.map((name) => {
    const row = body.insertRow(), heading = document.createElement("th");
    heading.scope = "row";
    heading.textContent = name;
    row.append(heading);
    return Array.from({ length: columns }, () => row.insertCell());
  });
}

/** A number that keeps its width; no minus before nothing. */
function fixed(value, digits) {
  const text = value.toFixed(digits);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
}
