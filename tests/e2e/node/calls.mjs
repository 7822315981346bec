// Calls the gateway by the official Node SDK; prints what it saw as one line of JSON. Argument: the base URL.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "sk-anything", maxRetries: 0 });
const messages = [{ role: "user", content: "hi there" }];
const seen = {};

seen.chat = (await client.chat.completions.create({ model: "gpt-4", messages })).choices[0].message.content;

seen.stream = "";
for await (const chunk of await client.chat.completions.create({ model: "gpt-4", messages, stream: true })) {
  seen.stream += chunk.choices[0]?.delta?.content ?? "";
}

seen.completion = (await client.completions.create({ model: "gpt-4", prompt: "hi there" })).choices[0].text;

seen.models = [];
for await (const model of client.models.list()) seen.models.push(model.id);

const { response } = await client.chat.completions.create({ model: "gpt-4", messages }).withResponse();
seen.attempts = response.headers.get("x-gateway-attempts");

for (const [name, body] of Object.entries({
  badRequest: { model: "gpt-4", messages, temperature: 9 },
  notFound: { model: "gpt-99", messages },
  rateLimit: { model: "gpt-4o", messages },
})) {
  try {
    await client.chat.completions.create(body);
  } catch (error) {
    seen[name] = [error.constructor.name, error.status, error.code, Boolean(error.requestID)];
  }
}
console.log(JSON.stringify(seen));
