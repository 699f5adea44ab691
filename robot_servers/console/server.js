// Requests to the server. A browser opens six connections to one host. What looks takes four of
// them (events, two cameras, health), an ordinary command one, a stop the last; for an emergency
// stop what looks lets go of its own.

const looking = new Set();

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** The server refused, or did not answer; the message is for a person. */
export class Trouble extends Error {
  /**
   * @param {string} message
   * @param {?number} status  of the answer; null where none came
   */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Give up all that looks once; whoever looks again and again goes on. */
export function makeWay() {
  looking.forEach((look) => look.abort());
}

/**
 * The response to a request: a POST if there is a body, else a GET.
 * @param {string} path  relative to the page, so that a proxy may serve it all under some folder
 * @param {object} options  body: of a POST; patience: until there is an answer [ms]; signal: gives up
 * @throws {Trouble}
 */
export async function ask(path, { body, patience = 3000, signal } = {}) {
  const giveUp = new AbortController();
  const stop = () => giveUp.abort();
  const late = setTimeout(stop, patience);
  signal?.addEventListener("abort", stop);
  if (body === undefined) looking.add(giveUp);
  let response;
  try {
    response = await fetch(path, {
      method: body === undefined ? "GET" : "POST",
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      signal: giveUp.signal,
    });
  } catch {
    const how = giveUp.signal.aborted ? `within ${patience / 1000} s` : "at all";
    throw new Trouble(`the server does not answer ${how}`, null);
  } finally {
    clearTimeout(late);
    looking.delete(giveUp);
  }
  if (response.ok) return response;
  let words = response.statusText;
  try {
    words = (await response.json()).error ?? words;
  } catch {
    // Not this server's words: a proxy's.
  }
  throw new Trouble(words, response.status);
}
