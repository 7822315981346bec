// Speaks realtime through the gateway by the official Node SDK, as servers and as browsers do. Argument: the base URL.
import OpenAI from "openai";
import { OpenAIRealtimeWebSocket } from "openai/realtime/websocket";
import { OpenAIRealtimeWS } from "openai/realtime/ws";
import WebSocket from "ws";

globalThis.WebSocket = WebSocket; // node has had its own since version 22

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "gw-anything", dangerouslyAllowBrowser: true });

const props = { model: "gpt-realtime" };

const talk = (session) =>
  new Promise((resolve, reject) => {
    const seen = [];
    session.on("error", reject);
    session.on("event", (event) => {
      seen.push(event.type);
      if (event.type === "session.created") session.send({ type: "response.create" });
      else {
        session.close();
        resolve(seen);
      }
    });
  });

const seen = {
  server: await talk(new OpenAIRealtimeWS(props, client)),
  browser: await talk(new OpenAIRealtimeWebSocket(props, client)),
};
console.log(JSON.stringify(seen));
