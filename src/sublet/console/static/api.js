// The public API, as this page uses it: JSON by GET, and the journal as a stream that heals itself.

const BACK = 40; // events shown of what happened before the page was opened
const RETRY_FIRST_MS = 500;
const RETRY_MOST_MS = 8000;
const SILENCE_MS = 25000; // the server says something every ten seconds

export class Refused extends Error {
  constructor(status, problem) {
    super(problem?.detail || `the server answered ${status}`);
    this.status = status;
    this.hint = problem?.hint || "";
  }
}

export class Api {
  #key;

  constructor(key) {
    this.#key = key;
  }

  // A JSON document; throws Refused for an answer that is an error, TypeError where nothing answers.
  async get(path) {
    const answer = await fetch(path, { headers: this.#headers(), cache: "no-store" });
    if (!answer.ok) throw new Refused(answer.status, await problemOf(answer));
    return answer.json();
  }

  // As get, but null where the key may not see it.
  async getIfAllowed(path) {
    try {
      return await this.get(path);
    } catch (error) {
      if (error instanceof Refused && error.status === 403) return null;
      throw error;
    }
  }

  // Follows the journal until `signal` aborts. Calls onEvent(event), and onLink(true | false) as the line comes and goes.
  async follow({ onEvent, onLink, signal }) {
    let last = null;
    let wait = RETRY_FIRST_MS;
    while (!signal.aborted) {
      try {
        await this.#listen(last, signal, () => { wait = RETRY_FIRST_MS; onLink(true); }, (event) => {
          last = event.seq;
          onEvent(event);
        });
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Refused && error.status === 401) throw error;
      }
      if (signal.aborted) return;
      onLink(false);
      await new Promise((done) => setTimeout(done, wait));
      wait = Math.min(wait * 2, RETRY_MOST_MS);
    }
  }

  async #listen(last, signal, onOpen, onEvent) {
    const silence = new AbortController();
    const stop = () => silence.abort();
    signal.addEventListener("abort", stop);
    let timer = setTimeout(stop, SILENCE_MS);
    try {
      const headers = { ...this.#headers(), Accept: "text/event-stream" };
      if (last !== null) headers["Last-Event-ID"] = String(last);
      const answer = await fetch(`/v1/events/stream?back=${BACK}`, { headers, cache: "no-store", signal: silence.signal });
      if (!answer.ok) throw new Refused(answer.status, await problemOf(answer));
      onOpen();
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        clearTimeout(timer);
        timer = setTimeout(stop, SILENCE_MS);
        const blocks = (text + value).split("\n\n");
        text = blocks.pop();
        for (const block of blocks) {
          const data = block.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)).join("\n");
          if (data) onEvent(JSON.parse(data));
        }
      }
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    }
  }

  #headers() {
    return { Authorization: `Bearer ${this.#key}` };
  }
}

async function problemOf(answer) {
  try {
    return await answer.json();
  } catch {
    return null;
  }
}
