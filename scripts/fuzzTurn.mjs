/**
 * One turn of one fuzz target, in a process of its own; started by fuzz.mjs, which hears of it twice
 * a second.
 *
 * Inputs come from the corpus: half of them altered by jsfuzz, byte by byte, half by our own
 * mutations, which know RLP. One that reaches a counter that was not reached before, or by another
 * order of magnitude, joins the corpus. The loop is ours: jsfuzz's own sends each input as JSON from
 * one process to another, cuts it at 4 KiB, and ends with the first finding.
 */
import { createHash } from "node:crypto"
import fs from "node:fs"
import { createRequire } from "node:module"
import path from "node:path"
import v8 from "node:v8"

const options = JSON.parse(process.argv[2])
const { Corpus } = createRequire(import.meta.url)("jsfuzz/build/src/corpus.js")
const { targets, loadMaterial, judge, mutate, makeRandom, MAX_INPUT_BYTES } = await import(
  options.bundle
)
const target = targets.find(({ name }) => name === options.target)

/** How many counters a file has: statements, functions, ways of branches. */
const sizeOf = ({ s, f, b }) =>
  Object.keys(s).length +
  Object.keys(f).length +
  Object.values(b).reduce((sum, each) => sum + each.length, 0)

/** Counters of all source files one after the other, in place of the arrays that Istanbul made. */
const adoptCounters = () => {
  const files = Object.entries(globalThis.__coverage__ ?? {})
  const counters = new Uint8Array(files.reduce((sum, [, file]) => sum + sizeOf(file), 0))
  const places = []
  let at = 0
  const take = (length) => counters.subarray(at, (at += length))
  const adopt = (counts) => {
    const taken = take(counts.length)
    taken.set(counts.map((count) => Math.min(count, 255)))
    return taken
  }
  for (const [source, file] of files) {
    const from = at
    file.s = adopt(Object.values(file.s))
    file.f = adopt(Object.values(file.f))
    file.b = Object.fromEntries(Object.entries(file.b).map(([key, each]) => [key, adopt(each)]))
    places.push({ source, from, to: at })
  }
  return { counters, places }
}

const { counters, places } = adoptCounters()
/** What ran while the sources were loaded, constants above all, is no merit of any input. */
const atLoad = counters.slice()
/** For each counter, the orders of magnitude that it has had, as bits. */
const seen = new Uint8Array(counters.length)
/** The order of magnitude of each count. */
const MAGNITUDES = Uint8Array.from({ length: 256 }, (_, count) =>
  count === 0 ? 0 : 1 << [2, 3, 4, 8, 16, 32, 128, 256].findIndex((end) => count < end),
)

/** Takes note of what the last input reached; whether any of it was new. */
const noteCoverage = () => {
  let isNew = false
  for (let at = 0; at < counters.length; at++) {
    const count = counters[at]
    if (count === 0) continue
    const magnitude = MAGNITUDES[count]
    if ((seen[at] & magnitude) === 0) {
      seen[at] |= magnitude
      isNew = true
    }
  }
  return isNew
}

/** More would only slow down the choice of good ones. */
const MAX_CORPUS = 4_000
const corpus = new Corpus([], false)
corpus.maxInputSize = MAX_INPUT_BYTES

const found = new Map()
let inputs = 0
const file = fs.openSync(options.current, "w")
const record = Buffer.alloc(4 + MAX_INPUT_BYTES)

const hashOf = (input) => createHash("sha256").update(input).digest("hex").slice(0, 12)

/** The same mistake at another byte is the same mistake. */
const keyOf = ({ kind, detail }) =>
  kind +
  detail
    .split("\n")
    .filter((line, index) => index === 0 || line.includes("targets.mjs"))
    .slice(0, 4)
    .join("|")
    .replaceAll(/0x[0-9a-f]+|\d+|"[^"]*"/g, "#")

const keepFinding = (finding, input) => {
  const key = keyOf(finding)
  const known = found.get(key)
  if (known !== undefined) {
    known.times += 1
    return
  }
  const name = `${target.name}-${createHash("sha256").update(key).digest("hex").slice(0, 12)}`
  found.set(key, { name, ...finding, times: 1 })
  fs.writeFileSync(path.join(options.findings, `${name}.bin`), input)
  fs.writeFileSync(
    path.join(options.findings, `${name}.txt`),
    `${finding.kind}: ${finding.detail}\n`,
  )
}

/** Runs one input; whether it reached something new. */
const tryOut = async (input) => {
  // Whoever watches reads it when we are not able to tell any more.
  record.writeUInt32BE(input.length, 0)
  record.set(input, 4)
  fs.writeSync(file, record, 0, 4 + input.length, 0)
  counters.fill(0)
  const finding = await judge(target, input)
  const isNew = noteCoverage()
  inputs += 1
  if (finding !== undefined) keepFinding(finding, input)
  return isNew && finding === undefined
}

const keepInput = (input) => {
  if (corpus.inputs.length >= MAX_CORPUS) return
  corpus.inputs.push(Buffer.from(input))
  const name = path.join(options.corpus, hashOf(input))
  if (!fs.existsSync(name)) fs.writeFileSync(name, input)
}

const tell = (then = () => {}) =>
  process.send(
    {
      inputs,
      corpus: corpus.inputs.length,
      reached: seen.reduce((sum, bits) => sum + (bits === 0 ? 0 : 1), 0),
      found: [...found.values()],
    },
    then,
  )

/** Bytes that are alive: what a decoder keeps from input to input shows here. */
const liveBytes = () => {
  globalThis.gc()
  globalThis.gc()
  const { used_heap_size, external_memory } = v8.getHeapStatistics()
  return (
    used_heap_size + external_memory - corpus.inputs.reduce((sum, { length }) => sum + length, 0)
  )
}

const MAX_LIVE_GROWTH_BYTES = 64 * 1024 * 1024

for (const input of target.seeds(loadMaterial())) {
  if (input.length <= MAX_INPUT_BYTES && (await tryOut(input))) keepInput(input)
}
if (corpus.inputs.length === 0) throw new Error(`${target.name}: no seed is read without a finding`)
const kept = fs.readdirSync(options.corpus).toSorted()
for (const name of kept) {
  const input = new Uint8Array(fs.readFileSync(path.join(options.corpus, name)))
  if (await tryOut(input)) keepInput(input)
  if (inputs % 64 === 0) tell()
}
tell()

const random = makeRandom(crypto.getRandomValues(new Int32Array(1))[0])
/** Small inputs are quicker, and say more. */
const choose = () => {
  const a = random.pick(corpus.inputs)
  const b = random.pick(corpus.inputs)
  return a.length <= b.length || random.below(3) === 0 ? a : b
}

const liveAtStart = liveBytes()
// A process that is stopped for a while must not lose its turn: longer pauses count as one second.
let spentMs = 0
let lastMs = performance.now()
let toldMs = 0
while (spentMs < options.seconds * 1_000) {
  for (let i = 0; i < 16; i++) {
    const base = choose()
    const input =
      random.below(2) === 0
        ? corpus.mutate(base)
        : mutate(target, base, random.pick(corpus.inputs), random)
    const bytes = new Uint8Array(input).subarray(0, MAX_INPUT_BYTES)
    if (await tryOut(bytes)) keepInput(bytes)
  }
  const nowMs = performance.now()
  spentMs += Math.min(1_000, nowMs - lastMs)
  lastMs = nowMs
  if (nowMs - toldMs < 500) continue
  toldMs = nowMs
  tell()
  // Lets the message go out.
  await new Promise((resolve) => setImmediate(resolve))
}

const grownBytes = liveBytes() - liveAtStart
if (grownBytes > MAX_LIVE_GROWTH_BYTES) {
  const detail = `${Math.round(grownBytes / 2 ** 20)} MiB more alive after ${inputs} inputs`
  keepFinding({ kind: "keeps", detail }, new Uint8Array(0))
}
// 2 for what an input reached, 1 for what ran at the start.
const bits = Object.fromEntries(
  places.map(({ source, from, to }) => [
    source,
    Buffer.from(
      seen
        .subarray(from, to)
        .map((each, at) => (each > 0 ? 2 : 0) | (atLoad[from + at] > 0 ? 1 : 0)),
    ).toString("base64"),
  ]),
)
fs.writeFileSync(options.coverage, JSON.stringify(bits))
tell(() => process.exit(0))
