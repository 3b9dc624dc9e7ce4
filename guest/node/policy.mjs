// Runs a policy that `jco transpile --instantiation async --name policy` made of its component. In Node and in
// browsers: nothing here is of Node but the way to read a file.

// The policy in this folder, a URL that ends in `/`. Its code is compiled once.
export async function load(folder) {
  const { instantiate } = await import(new URL("policy.js", folder));
  const modules = new Map();
  const module = (path) => {
    if (!modules.has(path)) modules.set(path, compile(new URL(path, folder)));
    return modules.get(path);
  };
  return new Component(() => instantiate(module, {}));
}

class Component {
  #instantiate;

  constructor(instantiate) {
    this.#instantiate = instantiate;
  }

  async describe() {
    const { settings } = await this.#instantiate();
    return settings.describe();
  }

  // An instance that has these settings and has seen no request: use it for one decision, as the host does.
  // Throws `SettingsError` when the policy refuses the settings.
  async configured(settings) {
    const instance = await this.#instantiate();
    try {
      instance.settings.configure(JSON.stringify(settings));
    } catch (error) {
      throw Array.isArray(error?.payload) ? new SettingsError(error.payload) : error;
    }
    return instance.decide;
  }
}

// What is wrong with settings: `problems`, each `{ path, message }`.
export class SettingsError extends Error {
  constructor(problems) {
    super(problems.map(({ path, message }) => `${path || "the whole document"}: ${message}`).join("; "));
    this.problems = problems;
  }
}

async function compile(url) {
  if (url.protocol !== "file:") return WebAssembly.compileStreaming(fetch(url));
  const { readFile } = await import("node:fs/promises");
  return WebAssembly.compile(await readFile(url));
}
