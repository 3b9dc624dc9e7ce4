// Makes a component of a policy in JavaScript. `pinfold policy build` runs it in the folder of the project, from
// standard input, so that the compiler is the one that the project installed:
//
//   node --input-type=module - SCRATCH NAME
//
// SCRATCH holds the contract in `wit` and takes the component as `policy.wasm`.

import { cp, readFile, stat, writeFile } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import { componentize } from "@bytecodealliance/componentize-js";

const METHODS = ["configure", "checkTarget", "checkAddress"];

// Without these the engine imports nothing: no clock, no randomness, no network, no output.
const FEATURES = ["stdio", "random", "clocks", "http", "fetch-event"];

// What the compiler says of itself.
const NOISE = /^(Failed to initialize component|Exception while evaluating top-level script)/;

const [scratch, name] = process.argv.slice(2);
const project = process.cwd();
const sources = join(scratch, "sources");
await cp(project, sources, { recursive: true, filter: isSource });
await writeFile(join(sources, "entry.js"), await entry());
const { component } = await componentize({
  sourcePath: join(sources, "entry.js"),
  witPath: join(scratch, "wit"),
  worldName: "policy",
  disableFeatures: FEATURES,
}).catch(fail);
await writeFile(join(scratch, "policy.wasm"), component);

// Says what is wrong with the policy, without where the compiler noticed.
function fail(error) {
  const lines = String(error.message).split("\n");
  const end = lines.findIndex((line) => line.startsWith("Additionally, some promises"));
  const said = lines.slice(0, end < 0 ? undefined : end).filter((line) => !NOISE.test(line));
  console.error(said.join("\n"));
  process.exit(1);
}

async function isSource(path) {
  const file = basename(path);
  if (path === project) return true;
  if (file === "node_modules" || file.startsWith(".")) return false;
  return extname(file) === ".js" || (await stat(path)).isDirectory();
}

async function entry() {
  const read = (file) => readFile(join(project, file), "utf8");
  const { version, description } = JSON.parse(await read("package.json"));
  const settingsSchema = await read("settings.schema.json");
  const about = { name, version: version ?? "0.0.0", summary: description ?? "", settingsSchema };
  return `
    import { component } from "./pinfold.js";
    import * as policy from "./policy.js";
    const made = (${build})(policy, component, ${JSON.stringify(METHODS)}, ${JSON.stringify(about)});
    (${takeAway})();
    export const settings = made.settings;
    export const decide = made.decide;
  `;
}

// What follows becomes part of the component and runs once, when it is built.

function build(policy, component, methods, about) {
  if (typeof policy.Policy !== "function") throw new Error("`policy.js` exports no class `Policy`");
  for (const method of methods) {
    if (typeof policy.Policy.prototype?.[method] !== "function") {
      throw new Error(`the class \`Policy\` in \`policy.js\` has no method \`${method}\``);
    }
  }
  return component(new policy.Policy(), about);
}

// What would tell of the time of the build.
function takeAway() {
  const refuse = (what, have) => () => {
    throw new Error(`\`${what}\` is called: a policy has no ${have}`);
  };
  Math.random = refuse("Math.random", "randomness");
  Date.now = refuse("Date.now", "clock");
  performance.now = refuse("performance.now", "clock");
  const now = refuse("new Date()", "clock");
  globalThis.Date = new Proxy(Date, {
    construct: (date, given, as) => (given.length === 0 ? now() : Reflect.construct(date, given, as)),
    apply: now,
  });
}
