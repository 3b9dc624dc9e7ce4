// Between records of decisions (`input` of a JSON line) and the contract `pinfold:policy`, as jco shows it:
// a variant is `{ tag, val }`, an enum its kebab-case name, what is not there `undefined`.

// The questions that were asked: `{ request, resolution }`.
export function questions(input) {
  const { request, chain = [], answers = [] } = input;
  return { request: requestOf(request), resolution: { chain, answers: answers.map(answerOf) } };
}

// Asks a policy what was recorded, and answers in the shape of a record: `{ target, addresses }`, without the
// stage of a denial, which is the host's to say.
export function ask(decide, input, alsoAddresses) {
  const { request, resolution } = questions(input);
  const target = shielded(() => decisionOf(decide.checkTarget(request)));
  if (target.deny || !alsoAddresses) return { target };
  const addresses = shielded(() => verdictsOf(decide.checkAddresses(request, resolution), resolution.answers));
  return { target, addresses };
}

// What was recorded of one policy, without what the policy did not say.
export function recorded({ target, addresses }) {
  const answer = { target: target.deny ? { deny: denied(target.deny) } : { allow: present(target.allow) } };
  if (addresses) {
    answer.addresses = Array.isArray(addresses)
      ? addresses.map((denial) => denial && denied(denial))
      : { deny: denied(addresses.deny) };
  }
  return answer;
}

// The fields in which two answers differ: `[{ field, recorded, now }]`.
export function differences(recorded, now, field = "") {
  if (isBranch(recorded) && isBranch(now) && Array.isArray(recorded) === Array.isArray(now)) {
    const keys = new Set([...Object.keys(recorded), ...Object.keys(now)]);
    return [...keys].flatMap((key) => differences(recorded[key], now[key], field ? `${field}.${key}` : key));
  }
  return recorded === now ? [] : [{ field, recorded: recorded ?? null, now: now ?? null }];
}

// To the contract.

function requestOf({ target, method, subject, labels = [], hop = 0, previous }) {
  return {
    target: targetOf(target),
    method: method ?? undefined,
    subject: subject ?? undefined,
    labels,
    hop,
    previous: previous ? targetOf(previous) : undefined,
  };
}

function targetOf({ scheme, host, port, path, query, spelling = {} }) {
  return {
    scheme,
    host: hostOf(host),
    port,
    path,
    query: query ?? undefined,
    spelling: { userinfo: !!spelling.userinfo, nonCanonicalLiteral: !!spelling.non_canonical_literal },
  };
}

function hostOf(host) {
  if (host.startsWith("[")) return { tag: "ip", val: addressOf(host.slice(1, -1)) };
  // No name ends in a number: that would be an address.
  return /^[\d.]+$/.test(host) ? { tag: "ip", val: addressOf(host) } : { tag: "domain", val: host };
}

function answerOf({ address, class: kind, embedded = [], granted = false }) {
  const inner = embedded.map((each) => ({ ...each, address: octets(each.address) }));
  return { address: addressOf(address), class: kind, embedded: inner, granted };
}

function addressOf(text) {
  return text.includes(":") ? { tag: "ipv6", val: groups(text) } : { tag: "ipv4", val: octets(text) };
}

function octets(text) {
  return text.split(".").map(Number);
}

function groups(text) {
  const [head, tail] = text.split("::").map(side);
  return tail ? [...head, ...Array(8 - head.length - tail.length).fill(0), ...tail] : head;
}

// The groups on one side of `::`; the last may be an IPv4 address.
function side(text) {
  return text.split(":").filter(Boolean).flatMap((part) => {
    if (!part.includes(".")) return Number.parseInt(part, 16);
    const [a, b, c, d] = octets(part);
    return [(a << 8) | b, (c << 8) | d];
  });
}

// From the contract, as the host reads it.

// A policy that failed, by a trap or by an answer that the host refuses to read.
const FAILED = { deny: { code: "policy-failed" } };

function shielded(question) {
  try {
    return question();
  } catch {
    return FAILED;
  }
}

function decisionOf({ tag, val }) {
  if (tag === "deny") return { deny: denialOf(val) };
  const { connectTimeoutMs, totalTimeoutMs, responseKib, redirects, httpsOnly } = val;
  const terms = {
    connect_timeout_ms: connectTimeoutMs,
    total_timeout_ms: totalTimeoutMs,
    response_bytes: responseKib === undefined ? undefined : responseKib * 1024,
    redirects,
    https_only: httpsOnly,
  };
  return { allow: present(terms) };
}

function verdictsOf(verdicts, answers) {
  if (verdicts.length !== answers.length) throw new Error("a verdict for each answer");
  return verdicts.map(({ tag, val }) => (tag === "deny" ? denialOf(val) : null));
}

function denialOf({ code, message }) {
  if (!/^[a-z0-9-]{1,64}$/.test(code)) throw new Error("no code");
  if (new TextEncoder().encode(message).length > 512) throw new Error("too long");
  return { code, detail: message.replace(UNSAFE, " ") };
}

// What the host replaces in messages, so that they cannot steer a terminal.
const UNSAFE = /[\p{Cc}\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu;

// How exactly a policy failed is the machine's to say, not the policy's.
function denied({ stage, code, detail }) {
  return stage === "policy" ? FAILED.deny : { code, detail };
}

function present(fields) {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null));
}

function isBranch(value) {
  return typeof value === "object" && value !== null;
}
