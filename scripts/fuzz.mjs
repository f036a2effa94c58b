/**
 * `npm run fuzz`: coverage-guided fuzzing of everything that reads bytes or text of others.
 *
 *     node scripts/fuzz.mjs [--minutes N] [--target NAME]… [--turn SECONDS]
 *
 * The targets are in test/fuzz/targets; they take turns of half a minute until the time is over (5
 * minutes when not given). Each turn is a process of its own (fuzzTurn.mjs): one that dies, hangs or
 * runs out of memory is a finding too. Sources are instrumented by Istanbul, which jsfuzz brings
 * along.
 *
 * annals-fuzz/ keeps the corpus, so that the next run goes on where this one stopped, and what was
 * found: `findings/NAME-….bin`, and beside it what was wrong. Prints a table of the targets, a
 * table of how much of each source file was reached, and one JSON object as the last line. Exit 1
 * when something was found.
 */
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { createRequire } from "node:module"
import path from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { transform } from "esbuild"
import { bundle, cacheFolder, ROOT } from "./bundle.mjs"

// The bundle lies elsewhere than its sources and would look for them beside itself.
process.env.ANNALS_FIXTURES ??= path.join(ROOT, "../shared/fixtures")
const OUT = path.join(ROOT, "annals-fuzz")
const BUNDLE = path.join(cacheFolder("annals-fuzz"), `${process.pid}/targets.mjs`)

/** A process that is silent for so many seconds hangs; seconds in which we were stopped too do not count. */
const SILENCE_SECONDS = 20
const HEAP_MIB = 1024

const argumentsOf = (name) =>
  process.argv.flatMap((each, at) => (each === `--${name}` ? [process.argv[at + 1] ?? ""] : []))

const positive = (name, fallback) => {
  const [text] = argumentsOf(name)
  const value = text === undefined ? fallback : Number(text)
  if (value > 0) return value
  console.error(`--${name} wants a number above 0, not "${text}"`)
  process.exit(2)
}

const minutes = positive("minutes", 5)
const turnSeconds = positive("turn", 30)
const wanted = argumentsOf("target")

/** What jsfuzz instruments with; it names the package nowhere, so it is looked up from there. */
const loadInstrumenter = () => {
  try {
    const require = createRequire(createRequire(import.meta.url).resolve("jsfuzz/package.json"))
    return require("istanbul-lib-instrument").createInstrumenter({
      compact: true,
      esModules: true,
      produceSourceMap: false,
    })
  } catch (error) {
    console.error(`jsfuzz is not installed (npm ci): ${error.message}`)
    process.exit(2)
  }
}

/** All targets in one module, with counters in what lies below src/. */
const bundleTargets = async () => {
  const instrumenter = loadInstrumenter()
  await bundle({
    stdin: {
      contents: `
        export { targets } from "./test/fuzz/targets.ts"
        export { loadMaterial } from "./test/fuzz/material.ts"
        export { judge } from "./test/fuzz/judge.ts"
        export { mutate } from "./test/fuzz/mutate.ts"
        export { makeRandom } from "./test/fuzz/random.ts"
        export { MAX_INPUT_BYTES } from "./test/fuzz/target.ts"
      `,
      resolveDir: ROOT,
      loader: "ts",
    },
    outfile: BUNDLE,
    plugins: [
      {
        name: "counters",
        setup: (builder) =>
          builder.onLoad({ filter: /[\\/]src[\\/].*\.ts$/ }, async ({ path: file }) => {
            const source = await readFile(file, "utf8")
            const { code } = await transform(source, { loader: "ts", target: "node20" })
            const name = path.relative(ROOT, file)
            return { contents: instrumenter.instrumentSync(code, name), loader: "js" }
          }),
      },
    ],
  })
}

const inFolder = (...parts) => {
  const folder = path.join(OUT, ...parts)
  mkdirSync(folder, { recursive: true })
  return folder
}

/** One turn of a target: what its process told last, and how it ended if that was not well. */
const takeTurn = async (target, seconds) => {
  const current = path.join(inFolder("current"), target)
  writeFileSync(current, "")
  const child = spawn(
    process.execPath,
    [
      "--expose-gc",
      `--max-old-space-size=${HEAP_MIB}`,
      fileURLToPath(new URL("fuzzTurn.mjs", import.meta.url)),
      JSON.stringify({
        bundle: pathToFileURL(BUNDLE).href,
        target,
        seconds,
        corpus: inFolder("corpus", target),
        findings: inFolder("findings"),
        coverage: path.join(inFolder("coverage"), `${target}.json`),
        current,
      }),
    ],
    {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    },
  )
  let last = { inputs: 0, corpus: 0, reached: 0, found: [] }
  let silent = 0
  let hung = false
  child.on("message", (told) => {
    last = told
    silent = 0
  })
  const watch = setInterval(() => {
    silent += 1
    if (silent < SILENCE_SECONDS) return
    hung = true
    child.kill("SIGKILL")
  }, 1_000)
  const [code, signal] = await new Promise((resolve) => {
    child.on("exit", (...how) => resolve(how))
  })
  clearInterval(watch)
  if (code === 0 || stopped) return last
  const kind = hung ? "hangs" : "died"
  return { ...last, found: [...last.found, keepDeath(target, kind, signal ?? code, current)] }
}

/** The input under which a process ended, as a finding. */
const keepDeath = (target, kind, how, current) => {
  const record = readFileSync(current)
  const input =
    record.length < 4
      ? record
      : record.subarray(4, 4 + new DataView(record.buffer, record.byteOffset).getUint32(0))
  const name = `${target}-${createHash("sha256").update(input).digest("hex").slice(0, 12)}`
  const detail = `the process ended with ${how}`
  writeFileSync(path.join(inFolder("findings"), `${name}.bin`), input)
  writeFileSync(path.join(inFolder("findings"), `${name}.txt`), `${kind}: ${detail}\n`)
  return { name, kind, detail, times: 1 }
}

/** How much of each source file the targets reached together, from the bits that turns left. */
const coverageOf = (names) => {
  const files = new Map()
  for (const name of names) {
    const file = path.join(OUT, "coverage", `${name}.json`)
    if (!existsSync(file)) continue
    for (const [source, bits] of Object.entries(JSON.parse(readFileSync(file, "utf8")))) {
      const known = files.get(source)
      const bytes = Buffer.from(bits, "base64")
      files.set(source, known === undefined ? bytes : known.map((each, at) => each | bytes[at]))
    }
  }
  return [...files]
    .filter(([, bits]) => bits.some((bit) => (bit & 2) !== 0))
    .map(([source, bits]) => ({
      source,
      counters: bits.length,
      reached: bits.reduce((sum, bit) => sum + (bit === 0 ? 0 : 1), 0),
    }))
    .toSorted((a, b) => (a.source < b.source ? -1 : 1))
}

process.on("exit", () => rmSync(path.dirname(BUNDLE), { recursive: true, force: true }))
await bundleTargets()
const { targets } = await import(pathToFileURL(BUNDLE).href)
const names = targets
  .map(({ name }) => name)
  .filter((name) => wanted.length === 0 || wanted.includes(name))
if (names.length === 0) {
  console.error(`--target wants one of: ${targets.map(({ name }) => name).join(", ")}`)
  process.exit(2)
}

// Ctrl-C reaches the turn's process too: what is there so far is told.
let stopped = false
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => (stopped = true))

const totals = new Map(
  names.map((name) => [
    name,
    { target: name, seconds: 0, inputs: 0, corpus: 0, reached: 0, findings: 0 },
  ]),
)
const found = new Map()
// Turns are counted and not the clock: a run may be stopped for a while and goes on.
const rounds = Math.max(1, Math.round((minutes * 60) / (names.length * turnSeconds)))
const seconds = (minutes * 60) / (names.length * rounds)
for (let round = 0; round < rounds; round++) {
  for (const name of names) {
    if (stopped) break
    const turn = await takeTurn(name, seconds)
    const total = totals.get(name)
    total.seconds += seconds
    total.inputs += turn.inputs
    total.corpus = turn.corpus
    total.reached = Math.max(total.reached, turn.reached)
    for (const each of turn.found) {
      const known = found.get(each.name)
      found.set(each.name, { ...each, times: each.times + (known?.times ?? 0) })
      if (known === undefined) {
        total.findings += 1
        console.error(`FOUND ${each.name}: ${each.kind}: ${each.detail.split("\n")[0]}`)
      }
    }
    console.error(`round ${round + 1} of ${rounds}: ${name}: ${turn.inputs} inputs`)
  }
}

const coverage = coverageOf(names)
for (const total of totals.values()) total.seconds = Math.round(total.seconds)
console.table([...totals.values()])
console.table(
  coverage.map((each) => ({ ...each, percent: Math.round((100 * each.reached) / each.counters) })),
)
const inputs = [...totals.values()].reduce((sum, each) => sum + each.inputs, 0)
console.log(
  JSON.stringify({
    fuzz: {
      minutes,
      inputs,
      targets: [...totals.values()],
      coverage,
      findings: [...found.values()],
    },
  }),
)
process.exitCode = found.size === 0 ? 0 : 1
