#!/usr/bin/env node
// Replays recorded decisions in Node, with the very component that a service runs.

import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createHash } from "node:crypto";
import { createInterface } from "node:readline";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { pathToFileURL } from "node:url";
import { load } from "./policy.mjs";
import { Tally } from "./log.mjs";

const USAGE = `Usage: node replay.mjs LOG POLICY [--settings FILE] [--layer NAME] [--json]

  LOG              records of decisions with their inputs, JSON lines
  POLICY           a component (.wasm), or a folder that \`jco transpile\` made of one
  --settings FILE  the settings that the policy had, JSON; default: {}
  --layer NAME     which of several policies of a chain; default: the one with the digest of the component
  --json           print JSON

Exit codes:
  0  every record that could be replayed was answered alike
  1  some differ
  2  error: usage, an unreadable file, settings that are refused, no record of this policy`;

const NOTHING = `no record of this policy could be replayed

hint: is it the component that decided? \`--layer\` names one of a chain`;

// The longest line of a log, in characters, as the host writes them.
const MAX_LINE = 1 << 20;

const scratch = await mkdtemp(join(tmpdir(), "pinfold-replay-"));
try {
  process.exitCode = await main();
} catch (error) {
  console.error(`error: ${error?.message ?? error}`);
  process.exitCode = 2;
} finally {
  await rm(scratch, { recursive: true });
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      settings: { type: "string" },
      layer: { type: "string" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return console.log(USAGE) ?? 0;
  if (positionals.length !== 2) throw new Error(`LOG and POLICY are needed\n\n${USAGE}`);
  const [log, policy] = positionals;
  const settings = values.settings ? await settingsIn(values.settings) : {};
  const { component, digest } = await open(policy);
  await component.configured(settings);
  const other = others(settings);
  const isMeant = ours(values.layer, digest);
  const isOurs = (policy) => isMeant(policy) && other.see(policy);
  const tally = await replayed(log, component, settings, isOurs);
  report(tally, values.json);
  other.tell();
  if (tally.identical + tally.different === 0) {
    throw new Error(NOTHING);
  }
  return tally.different > 0 ? 1 : 0;
}

async function replayed(log, component, settings, isOurs) {
  const tally = new Tally();
  let number = 0;
  for await (const line of createInterface({ input: createReadStream(log), crlfDelay: Infinity })) {
    number += 1;
    if (line.trim() === "") continue;
    await tally.replay(record(line, `${log}:${number}`), component, settings, isOurs);
  }
  return tally;
}

function record(line, place) {
  if (line.length > MAX_LINE) throw new Error(`${place}: longer than ${MAX_LINE} characters`);
  try {
    return JSON.parse(line);
  } catch (error) {
    throw new Error(`${place}: ${error.message}`);
  }
}

// Which of the policies that were asked is meant.
function ours(layer, digest) {
  if (layer !== undefined) return (policy) => policy.layer === layer;
  return (policy) => digest === undefined || policy.digest === digest;
}

async function settingsIn(file) {
  if (file.endsWith(".toml")) {
    throw new Error(`\`${file}\` is TOML, and settings are JSON here

hint: write the same settings as a \`.json\` file`);
  }
  try {
    return JSON.parse(await readFile(file, "utf8"));
  } catch (error) {
    throw new Error(`cannot read \`${file}\`: ${error.message}`);
  }
}

// Counts decisions under other settings than those that were given: where they differ, that is why.
function others(settings) {
  const given = createHash("sha256").update(canonical(settings)).digest("hex");
  let count = 0;
  return {
    see({ settings_digest: digest }) {
      if (digest !== undefined && digest !== given) count += 1;
      return true;
    },
    tell() {
      if (count === 0) return;
      console.error(`warning: ${count} decided under other settings than those that were given

hint: the \`settings_digest\` of a record names the settings: give those with \`--settings\``);
    },
  };
}

// JSON as the host hashes it: no spaces, members in the order of the octets of their names.
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const names = Object.keys(value).sort((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)));
  return `{${names.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
}

async function open(policy) {
  if ((await stat(policy)).isDirectory()) return { component: await load(url(policy)) };
  const bytes = await readFile(policy);
  const digest = createHash("sha256").update(bytes).digest("hex");
  await transpile(bytes, scratch);
  return { component: await load(url(scratch)), digest };
}

// As `jco transpile POLICY --name policy --instantiation async -o FOLDER` does.
async function transpile(bytes, folder) {
  const { transpile } = await import("@bytecodealliance/jco");
  const { files } = await transpile(bytes, { name: "policy", instantiation: "async", noTypescript: true });
  for (const [name, content] of Object.entries(files)) {
    const file = join(folder, name);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, content);
  }
}

function url(folder) {
  return pathToFileURL(`${resolve(folder)}/`);
}

function report(tally, asJson) {
  if (asJson) return console.log(JSON.stringify(tally, null, 2));
  for (const { id, target, differences } of tally.changes) {
    console.log(`${id}  ${target}`);
    for (const { field, recorded, now } of differences) {
      console.log(`    ${field}: ${JSON.stringify(recorded)} -> ${JSON.stringify(now)}`);
    }
  }
  console.log(`${tally.records} records: ${tally.identical} identical, ${tally.different} different${skipped(tally)}`);
}

function skipped({ skipped }) {
  return Object.entries(skipped).filter(([, number]) => number > 0).map(([why, number]) => `, ${number} ${why}`).join("");
}
