// Builds partners.wasm: `npm ci && npm run build`. Needs: Node 20 or newer.

import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { componentize } from "@bytecodealliance/componentize-js";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const [policy, schema] = await Promise.all(
  ["policy.js", "settings.schema.json"].map((path) => readFile(here(path), "utf8")),
);
const { component } = await componentize(`const SCHEMA = ${JSON.stringify(schema)};\n${policy}`, {
  witPath: here("../../../wit"),
  worldName: "policy",
  // Without these the engine imports nothing: no clock, no randomness, no network, no output.
  disableFeatures: ["stdio", "random", "clocks", "http", "fetch-event"],
});
await writeFile(here("partners.wasm"), component);
