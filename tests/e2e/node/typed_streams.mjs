// Streams of typed events by the official Node SDK; prints what it saw as one line of JSON. Argument: the base URL.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "sk-anything", maxRetries: 0 });
const seen = {};

seen.response = "";
for await (const event of await client.responses.create({ model: "gpt-4", input: "hi there", stream: true })) {
  if (event.type === "response.output_text.delta") seen.response += event.delta;
}

const helper = client.responses.stream({ model: "gpt-4", input: "hi there" });
seen.final = (await helper.finalResponse()).output_text;

seen.images = [];
for await (const event of await client.images.generate({ model: "gpt-4", prompt: "a dot", stream: true })) {
  seen.images.push(event.type);
}

const file = new File(["sound"], "hi.wav");
for await (const event of await client.audio.transcriptions.create({ model: "gpt-4", file, stream: true })) {
  if (event.type === "transcript.text.done") seen.transcript = event.text;
}

try {
  for await (const event of await client.responses.create({ model: "gpt-4o", input: "one two three", stream: true })) {
    seen.last = event.type;
  }
} catch (error) {
  seen.broken = [error.constructor.name, error.code];
}
console.log(JSON.stringify(seen));
