// Asks for responses over a WebSocket through the gateway by the official Node SDK. Argument: the base URL.
import OpenAI from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "gw-anything" });
const socket = new ResponsesWS(client);
const texts = [];
let text = "";

const done = new Promise((resolve, reject) => {
  socket.on("error", reject);
  socket.on("event", (event) => {
    if (event.type === "response.output_text.delta") text += event.delta;
    if (event.type !== "response.completed") return;
    texts.push(text);
    text = "";
    if (texts.length === 2) resolve(texts);
    else socket.send({ type: "response.create", model: "gpt-4o", input: "b", previous_response_id: event.response.id });
  });
});
socket.send({ type: "response.create", model: "gpt-4o", input: "a", store: false });
console.log(JSON.stringify(await done));
socket.close();
