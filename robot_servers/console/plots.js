// A plot of the last 30 seconds.

const SPAN = 30; // [s]
const GAP = 0.5; // of time that a line does not bridge [s]
const LEFT = 34, BOTTOM = 18, TOP = 6, RIGHT = 6; // margins [pixels]

export class Plot {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLElement} caption
   * @param {string} title  with the unit
   * @param {object} lines  by name, the colour's name in console.css
   * @param {number} least  what the axis reaches at least
   */
  constructor(canvas, caption, title, lines, least) {
    Object.assign(this, { canvas, least, colors: Object.values(lines), samples: [] });
    caption.append(title);
    for (const [name, color] of Object.entries(lines)) {
      const label = document.createElement("span");
      label.className = color;
      label.textContent = name;
      caption.append(label);
    }
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /** @param {number[]} values  one a line; null where there is none */
  add(values) {
    const now = performance.now() / 1000;
    this.samples.push([now, values]);
    while (this.samples[0][0] < now - SPAN - 1) this.samples.shift();
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width) return;
    const scale = devicePixelRatio, context = this.canvas.getContext("2d");
    this.canvas.width = width * scale;
    this.canvas.height = height * scale;
    context.scale(scale, scale);
    const style = getComputedStyle(this.canvas), color = (name) => style.getPropertyValue(`--${name}`);
    const now = performance.now() / 1000, shown = this.samples.filter(([time]) => time > now - SPAN);
    const values = shown.flatMap(([, values]) => values).filter((value) => value !== null);
    const step = niceStep(Math.max(this.least, ...values) - Math.min(0, ...values));
    const low = Math.floor(Math.min(0, ...values) / step) * step;
    const high = Math.ceil(Math.max(this.least, ...values) / step) * step;
    const x = (time) => width - RIGHT - ((now - time) / SPAN) * (width - LEFT - RIGHT);
    const y = (value) => TOP + ((high - value) / (high - low)) * (height - TOP - BOTTOM);
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = color("dim");
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (let tick = low; tick < high + step / 2; tick += step) {
      const zero = Math.abs(tick) < step / 2;
      line(context, color(zero ? "dim" : "line"), 1, [[LEFT, y(tick)], [width - RIGHT, y(tick)]]);
      context.fillText(zero ? "0" : String(Number(tick.toPrecision(6))).replace("-", "−"), LEFT - 5, y(tick));
    }
    context.textBaseline = "alphabetic";
    for (const ago of [30, 20, 10, 0]) {
      context.textAlign = ago === 30 ? "left" : ago ? "center" : "right";
      context.fillText(ago ? `−${ago} s` : "now", x(now - ago), height - 4);
    }
    this.colors.forEach((name, i) => {
      for (const points of unbroken(shown, i)) {
        line(context, color(name), 1.7, points.map(([time, value]) => [x(time), y(value)]));
      }
    });
  }
}

/** Of 1, 2 or 5 times a power of ten: some four for a range. */
function niceStep(range) {
  const power = 10 ** Math.floor(Math.log10(range / 3));
  return power * [1, 2, 5, 10].find((factor) => range / (factor * power) <= 4.01);
}

/** The pieces of one line, as [time, value] each. */
function unbroken(samples, i) {
  const pieces = [[]];
  let last = -Infinity;
  for (const [time, values] of samples) {
    if (values[i] === null || time - last > GAP) pieces.push([]);
    if (values[i] !== null) pieces.at(-1).push([time, values[i]]);
    last = time;
  }
  return pieces;
}

function line(context, color, width, points) {
  context.strokeStyle = color;
  context.lineWidth = width;
  context.beginPath();
  for (const [x, y] of points) context.lineTo(x, y);
  context.stroke();
}
