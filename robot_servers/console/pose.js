// Poses: xyz [m] and a quaternion xyzw, shown to a person and written for Python.

const DEGREE = Math.PI / 180;

export const norm = (values) => Math.hypot(...values);

/** Roll, pitch and yaw about fixed axes [degrees], from -170 to 190: a hand that points down does not flip. */
export function eulerDegrees([, , , x, y, z, w]) {
  const angles = [
    Math.atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y)),
    Math.asin(Math.min(Math.max(2 * (w * y - x * z), -1), 1)),
    Math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)),
  ];
  return angles.map((angle) => (angle / DEGREE < -170 ? angle / DEGREE + 360 : angle / DEGREE));
}

/** What a pose lacks to a target, along and about the base's axes: three [mm], then three [degrees]. */
export function missing(pose, target) {
  const [x, y, z, w] = [-pose[3], -pose[4], -pose[5], pose[6]];
  const [a, b, c, d] = target.slice(3); // the turn is target times the inverse of pose
  const axis = [d * x + a * w + b * z - c * y, d * y - a * z + b * w + c * x, d * z + a * y - b * x + c * w];
  const cosine = d * w - a * x - b * y - c * z, sine = norm(axis);
  const angle = 2 * Math.atan2(sine, Math.abs(cosine)) * Math.sign(cosine || 1);
  const turn = axis.map((value) => (sine ? (value / sine) * (angle / DEGREE) : 0));
  return [0, 1, 2].map((i) => 1000 * (target[i] - pose[i])).concat(turn);
}

/** Measured pose and joint positions as Python, for a task's settings. */
export function asPython(arm, { tcp_pose, q }, when) {
  const written = (values, digits) => `(${values.map((value) => Number(value.toFixed(digits))).join(", ")})`;
  const pad = (number) => String(number).padStart(2, "0");
  const date = [when.getFullYear(), pad(when.getMonth() + 1), pad(when.getDate())].join("-");
  const time = [when.getHours(), when.getMinutes(), when.getSeconds()].map(pad).join(":");
  return [
    `tcp_pose = ${written(tcp_pose, 6)}  # arm "${arm}", ${date} ${time}: xyz [m], quaternion xyzw`,
    `q = ${written(q, 5)}  # joint positions [rad]`,
    `# settings={"target_pose": tcp_pose} where the task has a target, or as the place where episodes start:`,
    `# settings={"arms": {"${arm}": {"reset_pose": tcp_pose, "reset_q": q}}}`,
  ].join("\n");
}
