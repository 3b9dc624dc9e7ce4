// One request through the gateway by undici: `client.mjs PROXY URL CA`. Prints one line of JSON.
// A WebSocket URL is asked for an echo.

import { readFileSync } from "node:fs";
import { ProxyAgent, WebSocket, fetch } from "undici";

const [proxy, url, authority] = process.argv.slice(2);
const ca = readFileSync(authority, "utf8");
const dispatcher = new ProxyAgent({ uri: proxy, requestTls: { ca } });

async function get() {
  const got = await fetch(url, { dispatcher, signal: AbortSignal.timeout(20_000) });
  return { status: got.status, body: await got.text(), headers: Object.fromEntries(got.headers) };
}

function echo() {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { dispatcher });
    socket.addEventListener("open", () => socket.send("hello"));
    socket.addEventListener("error", (event) => reject(event.error ?? new Error("refused")));
    socket.addEventListener("message", (event) => {
      resolve({ status: 101, body: event.data });
      socket.close();
    });
  });
}

try {
  const told = url.startsWith("ws") ? await echo() : await get();
  console.log(JSON.stringify(told));
} catch (error) {
  console.log(JSON.stringify({ error: `${error.message}: ${error.cause?.message ?? ""}` }));
}
await dispatcher.close();
