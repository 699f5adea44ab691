// The operator's console: puts feed, cameras, arms and buttons together, and says how things stand.

import { ArmPanel } from "./arm.js";
import { EmergencyStop, onSecondPress } from "./buttons.js";
import { Cameras } from "./cameras.js";
import { Feed } from "./feed.js";
import { ask, pause } from "./server.js";

const SLOW = 90_000; // a joint reset over ROS takes half a minute [ms]
const $ = (id) => document.getElementById(id);

let robot, panels = {}, cameras, feed, busy = false, uptime = 0;

// The cookie has it from here on: it must not stay in the history, nor on a screen that others see.
if (location.search) history.replaceState(null, "", location.pathname);

const stop = new EmergencyStop($("emergency"), $("unheard"), say);
onSecondPress($("clear"), "Press again: motion is let through", () => command("emergency_stop/clear", {}));
$("dismiss").addEventListener("click", () => say(""));
$("start").addEventListener("click", () => command("start", {}));
$("recover").addEventListener("click", () => command("recover", {}));
$("rearrange").addEventListener("click", () => command("twin/rearrange", {}));
// Not one of those that wait for each other.
$("stop").addEventListener("click", () => {
  say("");
  ask("stop", { body: {}, patience: SLOW }).catch((error) => say(error.message));
});
setInterval(show, 100);
start();

async function start() {
  let parameters;
  while (!parameters) {
    try {
      robot = await (await ask("robot")).json();
      parameters = await (await ask("configure")).json();
    } catch (error) {
      write("detail", error.message);
      await pause(500);
    }
  }
  $("rearrange").hidden = robot.backend !== "twin";
  cameras = new Cameras($("cameras"), robot.cameras);
  for (const name of robot.arms) {
    panels[name] = new ArmPanel(name, robot, parameters.ranges, command);
    panels[name].compliance.show(parameters.compliance[name]);
  }
  $("arms").append(...Object.values(panels).map((panel) => panel.element));
  if (robot.arms.length === 1) {
    const [{ plots, compliance }] = Object.values(panels); // there is room for both
    plots.classList.add("card");
    $("side").append(plots);
    compliance.details.open = matchMedia("(min-width: 1000px)").matches;
  }
  feed = new Feed(showState, showHealth);
  feed.start();
}

/** An ordinary command, one at a time; null if it was refused, and the server's words are shown. */
async function command(path, body) {
  busy = true;
  say("");
  show();
  try {
    return await ask(path, { body, patience: SLOW });
  } catch (error) {
    say(error.message);
    return null;
  } finally {
    busy = false;
    show();
  }
}

function say(text) {
  $("said").hidden = !text;
  write("said-text", text);
}

/** What is written again is read aloud again. */
function write(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

function showState(state) {
  for (const name of robot.arms) panels[name].show(state.arms[name], state.targets[name]);
}

/** After every look at the health: the compliance, and whether this is still the robot that it was. */
async function showHealth() {
  if (feed.health.uptime < uptime) { // the server was started again
    const now = await (await ask("robot")).json();
    if (JSON.stringify(now) !== JSON.stringify(robot)) location.reload();
  }
  uptime = feed.health.uptime;
  const looking = Object.values(panels).filter(({ compliance }) => compliance.details.open);
  if (!looking.length) return;
  const { compliance: values } = await (await ask("configure")).json();
  for (const panel of looking) panel.compliance.show(values[panel.name]);
}

/** How things stand now, answer or no answer. */
function show() {
  if (!feed) return stop.show();
  const told = feed.told, stale = feed.stale;
  const [kind, word, detail] = standing(told, stale);
  document.body.dataset.kind = kind;
  document.body.classList.toggle("stale", stale);
  write("word", word);
  write("detail", detail);
  document.title = `${word} · hilserl robot`;
  showStale(stale);
  $("latched").hidden = !told?.emergency_stop;
  write("why", told?.emergency_stop || "");
  stop.show(Boolean(told?.emergency_stop));
  for (const button of document.querySelectorAll("main button:not(#stop, .copy, .close, [data-fill]), #clear")) {
    button.disabled = busy;
  }
  for (const panel of Object.values(panels)) panel.showStatus(told, stale);
  cameras.show();
  showFacts();
}

/** Kind, a word for it, and more of it. */
function standing(told, stale) {
  if (!told) return ["stale", "NO CONNECTION", feed.trouble];
  const errors = Object.entries(told.errors);
  const detail = errors.map(([name, error]) => `${name}: ${error}`).join("; ");
  const ofArms = errors.filter(([name]) => robot.arms.includes(name));
  if (told.emergency_stop) return ["emergency", "EMERGENCY STOP", detail];
  if (ofArms.some(([, error]) => error !== "stopped")) return ["error", "ERROR", detail];
  if (ofArms.length) return ["stopped", "STOPPED", detail];
  if (stale) return ["stale", "NO DATA", detail || feed.trouble];
  if (told.held_by_deadman) return ["stopped", "HELD", detail || "commands stopped coming; the next one goes on"];
  if (Object.values(panels).some((panel) => panel.moving)) return ["moving", "MOVING", detail];
  return ["ready", "READY", detail];
}

function showStale(stale) {
  $("stale").hidden = !stale;
  if (!stale) return;
  const since = feed.since ? `What you see is from ${feed.since.toLocaleTimeString()}.` : "No state has come yet.";
  write("stale-text", feed.trouble ? `${since} ${feed.trouble}.` : since);
  const age = (performance.now() - feed.freshAt) / 1000;
  write("stale-age", feed.since ? `${age.toFixed(1)} s ago` : "");
}

function showFacts() {
  const facts = { robot: robot.backend };
  if (robot.task) facts.task = robot.task;
  if (feed.state?.succeeded !== undefined) facts.done = feed.state.succeeded ? "yes" : "no";
  if (feed.state) facts.time = `${feed.state.time.toFixed(1)} s`;
  if (feed.health && robot.backend === "twin") facts.speed = `${feed.health.speed.reached.toFixed(2)} ×`;
  const rows = Object.entries(facts);
  if ($("facts").childElementCount !== rows.length) {
    $("facts").replaceChildren(...rows.map(() => document.createElement("div")));
    for (const row of $("facts").children) row.append(document.createElement("dt"), document.createElement("dd"));
  }
  rows.forEach(([name, value], i) => {
    const [title, content] = $("facts").children[i].children;
    title.textContent = name;
    content.textContent = value;
  });
}
