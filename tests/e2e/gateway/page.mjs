// Drives a page in a headless Chromium, by its own protocol over two pipes: no port, no package to install.
//
// Standard input: {"url": "...", "steps": [...]}. A step is one of
//   {"until": "expression", "within": 5000}   waits until it is truthy, and gives its value
//   {"click": "selector"}                     a real click in the middle of the element
//   {"key": "Tab"}   {"text": "typed"}        real keys
//   {"look": {"dark": true, "width": 400, "height": 900}}
//   {"screenshot": "file.png"}
//   {"pause": 500}                            milliseconds
//   {"offline": true}                         the network is gone, or is back
// Standard output: {"results": [...], "console": [...], "dialogs": [...], "requests": [...]}; a step that fails ends
// it with {"failed": step, "why": "..."} and exit code 1.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const LONGEST = 90000; // Of the whole.
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--disable-dev-shm-usage",
  "--no-first-run",
  "--no-default-browser-check",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-default-apps",
  "--disable-extensions",
  "--disable-sync",
  "--no-proxy-server",
  // Nothing but the page's own server is reached, whatever the browser would like.
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
  "--remote-debugging-pipe",
];

const input = await new Promise((done) => {
  let text = "";
  process.stdin.on("data", (part) => (text += part)).on("end", () => done(JSON.parse(text)));
});

const folder = mkdtempSync(join(tmpdir(), "pinfold-page-"));
const browser = spawn(process.env.CHROMIUM ?? "chromium", [...FLAGS, `--user-data-dir=${folder}`, "about:blank"], {
  stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
});
const [write, read] = [browser.stdio[3], browser.stdio[4]];
browser.on("error", (error) => end({ failed: "start", why: String(error) }));
setTimeout(() => end({ failed: "all", why: "took too long" }), LONGEST).unref();

const seen = { results: [], console: [], dialogs: [], requests: [] };
const waiting = new Map();
let next = 1;
let session;

let buffered = "";
read.setEncoding("utf8");
read.on("data", (part) => {
  buffered += part;
  const messages = buffered.split("\0");
  buffered = messages.pop();
  for (const message of messages) heard(JSON.parse(message));
});

function heard(message) {
  if (message.id) {
    const { done, failed } = waiting.get(message.id) ?? {};
    waiting.delete(message.id);
    return message.error ? failed?.(new Error(message.error.message)) : done?.(message.result);
  }
  const { method, params } = message;
  if (method === "Runtime.consoleAPICalled") {
    seen.console.push(params.args.map((each) => each.value ?? each.description ?? "").join(" "));
  }
  if (method === "Runtime.exceptionThrown") {
    seen.console.push("exception: " + (params.exceptionDetails.exception?.description ?? params.exceptionDetails.text));
  }
  if (method === "Log.entryAdded") seen.console.push(params.entry.level + ": " + params.entry.text);
  if (method === "Network.requestWillBeSent") seen.requests.push(params.request.url);
  if (method === "Page.javascriptDialogOpening") {
    seen.dialogs.push(params.message);
    call("Page.handleJavaScriptDialog", { accept: true });
  }
}

function call(method, params = {}) {
  const id = next++;
  write.write(JSON.stringify({ id, method, params, sessionId: session }) + "\0");
  return new Promise((done, failed) => waiting.set(id, { done, failed }));
}

async function value(expression) {
  const { result, exceptionDetails } = await call("Runtime.evaluate", { expression, returnByValue: true, awaitPromise: true, allowUnsafeEvalBlockedByCSP: false });
  if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  return result.value;
}

const pause = (time) => new Promise((done) => setTimeout(done, time));

async function until(expression, within = 10000) {
  const end = Date.now() + within;
  for (;;) {
    // What is not there yet, on a page that still loads, may well come.
    let why = "it is not";
    try {
      const found = await value(expression);
      if (found) return found;
    } catch (error) {
      why = error.message;
    }
    if (Date.now() > end) throw new Error(expression + ": " + why);
    await pause(50);
  }
}

async function click(selector) {
  const at = await until(`(() => {
    const element = document.querySelector(${JSON.stringify(selector)});
    element?.scrollIntoView({ block: "center" });
    const box = element?.getBoundingClientRect();
    return box && { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  })()`);
  for (const type of ["mousePressed", "mouseReleased"]) {
    await call("Input.dispatchMouseEvent", { type, ...at, button: "left", clickCount: 1 });
  }
}

async function key(name) {
  const code = { Tab: 9, Enter: 13, " ": 32 }[name] ?? 0;
  const text = { Enter: "\r", " ": " " }[name];
  const common = { key: name, code: name === " " ? "Space" : name, windowsVirtualKeyCode: code };
  await call("Input.dispatchKeyEvent", { type: text ? "keyDown" : "rawKeyDown", text, ...common });
  await call("Input.dispatchKeyEvent", { type: "keyUp", ...common });
}

async function look({ dark = false, width = 1280, height = 900 }) {
  const features = [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }];
  await call("Emulation.setEmulatedMedia", { features });
  await call("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false });
}

async function screenshot(file) {
  const { data } = await call("Page.captureScreenshot", { captureBeyondViewport: true });
  writeFileSync(file, Buffer.from(data, "base64"));
}

async function step(step) {
  if (step.until !== undefined) return until(step.until, step.within);
  if (step.click) return click(step.click);
  if (step.key) return key(step.key);
  if (step.text) return call("Input.insertText", { text: step.text });
  if (step.look) return look(step.look);
  if (step.screenshot) return screenshot(step.screenshot);
  if (step.pause) return pause(step.pause);
  if (step.offline !== undefined) {
    return call("Network.emulateNetworkConditions", { offline: step.offline, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
  }
  throw new Error("no such step");
}

// Says what was seen, and leaves nothing behind: a browser that is asked to end ends its children, too.
async function end(more = {}) {
  await new Promise((done) => process.stdout.write(JSON.stringify({ ...seen, ...more }), done));
  const gone = new Promise((done) => browser.once("exit", done));
  session = undefined;
  call("Browser.close").catch(() => {});
  const late = setTimeout(() => browser.kill("SIGKILL"), 3000);
  if (browser.pid && browser.exitCode === null) await gone;
  clearTimeout(late);
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  } catch {
    // A child that still writes: the system cleans its folder of temporary files.
  }
  process.exit(more.failed === undefined ? 0 : 1);
}

browser.on("exit", () => waiting.forEach(({ failed }) => failed(new Error("the browser has ended"))));

try {
  const { targetInfos } = await call("Target.getTargets");
  const page = targetInfos.find((target) => target.type === "page");
  ({ sessionId: session } = await call("Target.attachToTarget", { targetId: page.targetId, flatten: true }));
  for (const domain of ["Page", "Runtime", "Log", "Network"]) await call(domain + ".enable");
  await look({});
  await call("Page.navigate", { url: input.url });
} catch (error) {
  await end({ failed: "open", why: String(error.message ?? error) });
}
for (const each of input.steps) {
  try {
    seen.results.push((await step(each)) ?? null);
  } catch (error) {
    const shown = await value("document.body?.innerText").catch(() => "");
    await end({ failed: each, why: String(error.message ?? error), shown });
  }
}
await end();
