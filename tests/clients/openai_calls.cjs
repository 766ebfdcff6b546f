// The official Node client, unmodified: each endpoint's documented example call. Prints one JSON document with what came back.
// Environment: OPENAI_BASE_URL and OPENAI_API_KEY, which the client reads itself; NODE_PATH, where it is installed.
const OpenAI = require("openai");
const { toFile } = require("openai");

const client = new OpenAI({ maxRetries: 0, timeout: 60_000 });
const messages = [
  { role: "system", content: "You are a helpful assistant." },
  { role: "user", content: "What is a lease?" },
];
const model = "tiny";

async function ended(look, over, within = 60_000) {
  const until = Date.now() + within;
  for (;;) {
    const found = await look();
    if (over.includes(found.status)) return found;
    if (Date.now() > until) throw new Error(`${found.id} is ${found.status}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const calls = {
  async chat() {
    return await client.chat.completions.create({ model, messages, max_completion_tokens: 8, temperature: 0, seed: 1 });
  },
  async chat_stream() {
    const stream = await client.chat.completions.create({
      model, messages, max_completion_tokens: 8, temperature: 0, stream: true, stream_options: { include_usage: true },
    });
    let text = "", usage = null, chunks = 0;
    for await (const chunk of stream) {
      chunks += 1;
      text += chunk.choices[0]?.delta?.content ?? "";
      usage = chunk.usage ?? usage;
    }
    return { text, usage, chunks };
  },
  async tools() {
    const tools = [{
      type: "function",
      function: {
        name: "get_weather",
        description: "Get the current weather in a given location",
        parameters: {
          type: "object",
          properties: { location: { type: "string", maxLength: 12 }, unit: { type: "string", enum: ["celsius", "fahrenheit"] } },
          required: ["location", "unit"],
        },
      },
    }];
    const whole = [], pieces = [];
    for (const tool_choice of ["required", { type: "function", function: { name: "get_weather" } }]) {
      const asked = { model, messages, tools, tool_choice, max_tokens: 300, temperature: 0 };
      const told = { names: [], arguments: "" };
      for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
        for (const part of chunk.choices[0]?.delta?.tool_calls ?? []) {
          if (part.id) told.names.push(part.function.name);
          told.arguments += part.function?.arguments ?? "";
        }
      }
      pieces.push(told);
      whole.push(await client.chat.completions.create(asked));
    }
    const called = whole[0].choices[0].message;
    const found = { role: "tool", tool_call_id: called.tool_calls[0].id, content: "22 degrees" };
    const after = await client.chat.completions.create({
      model, messages: [...messages, called, found], tools, max_tokens: 12, temperature: 0,
    });
    return { whole, pieces, after, parameters: tools[0].function.parameters };
  },
  async json_schema() {
    const schema = {
      type: "object",
      properties: { name: { type: "string", maxLength: 12 }, hours: { type: "integer" } },
      required: ["name", "hours"],
      additionalProperties: false,
    };
    const response_format = { type: "json_schema", json_schema: { name: "lease", strict: true, schema } };
    return await client.chat.completions.parse({ model, messages, response_format, temperature: 0, max_tokens: 120 });
  },
  async completions() {
    return await client.completions.create({ model, prompt: "Say this is a test", max_tokens: 7, temperature: 0 });
  },
  async embeddings() {
    return await client.embeddings.create({ model: "vectors", input: "The quick brown fox", encoding_format: "float" });
  },
  async models() {
    const list = [];
    for await (const one of client.models.list()) list.push(one.id);
    return { list, one: await client.models.retrieve(model) };
  },
  async files() {
    const file = await client.files.create({ file: await toFile(Buffer.from("{}\n"), "mydata.jsonl"), purpose: "user_data" });
    const listed = [];
    for await (const one of client.files.list()) listed.push(one.id);
    const content = await (await client.files.content(file.id)).text();
    const retrieved = await client.files.retrieve(file.id);
    return { file, listed, content, retrieved, gone: await client.files.delete(file.id) };
  },
  async batches() {
    const line = (nth) => JSON.stringify({
      custom_id: `request-${nth}`, method: "POST", url: "/v1/chat/completions",
      body: { model, messages, max_tokens: 4, temperature: 0 },
    });
    const file = await client.files.create({ file: await toFile(Buffer.from(`${line(1)}\n${line(2)}\n`), "batch.jsonl"), purpose: "batch" });
    const made = await client.batches.create({ input_file_id: file.id, endpoint: "/v1/chat/completions", completion_window: "24h" });
    const batch = await ended(() => client.batches.retrieve(made.id), ["completed", "failed", "expired", "cancelled"]);
    const output = await (await client.files.content(batch.output_file_id)).text();
    return { batch, lines: output.trim().split("\n").map((one) => JSON.parse(one)) };
  },
  async fine_tuning() {
    const words = ["lease", "reclaim", "notice", "surplus"];
    const talk = (word) => JSON.stringify({ messages: [
      { role: "user", content: `What is a ${word}?` }, { role: "assistant", content: "A word of the glossary." },
    ] });
    const data = Buffer.from(words.map(talk).join("\n"));
    const file = await client.files.create({ file: await toFile(data, "mydata.jsonl"), purpose: "fine-tune" });
    const made = await client.fineTuning.jobs.create({ training_file: file.id, model, hyperparameters: { n_epochs: 2 } });
    const job = await ended(() => client.fineTuning.jobs.retrieve(made.id), ["succeeded", "failed", "cancelled"]);
    const events = [], checkpoints = [];
    for await (const one of client.fineTuning.jobs.listEvents(job.id, { limit: 2 })) events.push(one.message);
    for await (const one of client.fineTuning.jobs.checkpoints.list(job.id)) checkpoints.push(one);
    return { made, job, events, checkpoints };
  },
  async errors() {
    const seen = {};
    try {
      await client.chat.completions.create({ model: "none", messages });
    } catch (error) {
      seen.unknown = { name: error.constructor.name, status: error.status, code: error.code, param: error.param };
    }
    try {
      await new OpenAI({ apiKey: "sk_no", maxRetries: 0 }).models.list();
    } catch (error) {
      seen.key = { name: error.constructor.name, status: error.status, code: error.code };
    }
    return seen;
  },
};

(async () => {
  const out = {};
  await Promise.all(Object.entries(calls).map(async ([name, call]) => {
    try {
      out[name] = { good: await call() };
    } catch (error) {
      out[name] = { failed: `${error.constructor.name}: ${error.message}` };
    }
  }));
  process.stdout.write(JSON.stringify(out));
})();
