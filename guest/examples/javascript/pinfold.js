// What a policy in JavaScript is written with, and how it meets the contract `pinfold:policy`.
//
// Yours to read and to change. `pinfold policy build` makes a component of `policy.js` through `component`,
// at the end of this file.

// Answers.

// Allows. The terms tighten what the host would do anyway, and count in `checkTarget` only: `connectTimeoutMs`,
// `totalTimeoutMs`, `responseKib`, `redirects`, `httpsOnly`.
export function allow(terms = {}) {
  return { tag: "allow", val: terms };
}

// Denies. `code` is stable and kebab-case: others rely on it. `message` is one sentence for the operator.
export function deny(code, message) {
  return { tag: "deny", val: { code, message } };
}

// One thing that is wrong with the settings; `path` is a JSON Pointer, such as `/partners/0`.
export function problem(path, message) {
  return { path, message };
}

// Questions.

// The domain name of a target: lower case, no trailing dot. Undefined when its host is an address.
export function domainOf(target) {
  return target.host.tag === "domain" ? target.host.val : undefined;
}

// Whether a name is what the pattern means: `*.example.com` is every name below it, else that name alone.
export function nameMatches(pattern, name) {
  if (!pattern.startsWith("*.")) return name === pattern;
  return name !== undefined && name.length >= pattern.length && name.endsWith(pattern.slice(1));
}

// What the embedder says with this label. Undefined when it says nothing, or contradicts itself.
export function label(request, key) {
  const said = request.labels.filter((pair) => pair[0] === key);
  return said.every((pair) => pair[1] === said[0][1]) ? said[0]?.[1] : undefined;
}

// Whether the embedder says this, and nothing else, with this label.
export function labelIs(request, key, value) {
  return label(request, key) === value;
}

// Whether the address is globally reachable, or what the operator grants. Does not look inside.
export function isPublicOrGranted(answer) {
  return answer.granted || answer.class === "public";
}

// Whether every IPv4 address inside it is public; true when there is none.
export function wrapsOnlyPublic(answer) {
  return answer.embedded.every((inner) => inner.class === "public");
}

// The contract.

// The objects `settings` and `decide` that a component exports, around a policy.
export function component(policy, description) {
  const judge = (request, answer) =>
    shielded(() => checked(policy.checkAddress(request, answer), "checkAddress"), failed);
  return {
    settings: {
      describe: () => description,
      configure(json) {
        const problems = shielded(() => policy.configure(JSON.parse(json)), failedSettings);
        // What is thrown is the error of the `result`.
        if (problems?.length > 0) throw problems;
      },
    },
    decide: {
      checkTarget: (request) => shielded(() => checked(policy.checkTarget(request), "checkTarget"), failed),
      checkAddresses: (request, { answers }) => answers.map((answer) => judge(request, answer)),
    },
  };
}

function checked(answer, method) {
  if (answer?.tag === "allow" || answer?.tag === "deny") return answer;
  throw new TypeError(`${method} answered ${answer}: answer \`allow(...)\` or \`deny(code, message)\``);
}

// A policy that fails denies, and says where: an exception that leaves it would stop it without a word.
function shielded(ask, otherwise) {
  try {
    return ask();
  } catch (error) {
    return otherwise(short(`${error?.name ?? "thrown"}: ${error?.message ?? error} (${place(error)})`));
  }
}

function failed(what) {
  return deny("exception", what);
}

function failedSettings(what) {
  return [problem("", what)];
}

// The line of `policy.js`, or the last one.
function place(error) {
  const lines = `${error?.stack ?? ""}`.split("\n").map((line) => line.split("@").pop().trim());
  return lines.find((line) => line.startsWith("policy.js:")) ?? lines[0];
}

// The host refuses longer messages; 170 characters are at most 510 octets.
function short(text) {
  return text.slice(0, 170);
}
