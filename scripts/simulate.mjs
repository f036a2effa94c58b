/**
 * `npm run simulate`: the whole ingest program among simulated peers, from seeds.
 *
 *     node scripts/simulate.mjs [--seeds N] [--from M] [--processes P]
 *     node scripts/simulate.mjs --seed N
 *     node scripts/simulate.mjs --mutants [--seeds N] [--processes P] [--only TEXT]
 *
 * A seed is a world: a chain, peers of all kinds, kills, a disk that fails; see
 * test/simulation/Simulation.ts for what has to hold in it. Prints each seed in which something did
 * not, and the sums; exit 1 when there was one. `--seed` replays one seed, twice, and prints all that
 * happened in it. `--mutants` plants bugs and shows at which seed each is found
 * (simulationMutants.mjs).
 */
import path from "node:path"
import { ROOT } from "./bundle.mjs"
import { bundleSimulation, runWorker, temporaryFolder } from "./simulationProcesses.mjs"

const MOST_SHOWN = 20
const TELL_EVERY_MS = 10_000
/** Then another process takes over: what a killed program leaves in memory is not all given back. */
const SEEDS_A_PROCESS = 1_000

const argumentOf = (name) => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? undefined : process.argv[at + 1]
}

const wholeNumber = (name, fallback) => {
  const text = argumentOf(name)
  if (text === undefined) return fallback
  const value = Number(text)
  if (Number.isSafeInteger(value) && value > 0) return value
  console.error(`--${name} wants a whole number above 0, not "${text}"`)
  process.exit(2)
}

const processes = wholeNumber("processes", 2)
const from = wholeNumber("from", 1)

/** All seeds over all processes; gives whether nothing was broken. */
const simulateAll = async (program, seeds) => {
  const sums = {}
  const done = new Map()
  let bad = 0
  let digest = 0
  let toldMs = Date.now()
  const onLine = (at, before) => (line) => {
    const told = JSON.parse(line)
    if (told.seed !== undefined) {
      bad += 1
      if (bad > MOST_SHOWN) return
      console.log(`seed ${told.seed}: npm run simulate -- --seed ${told.seed}`)
      for (const { invariant, detail } of told.violations) console.log(`  ${invariant}: ${detail}`)
    }
    if (told.done !== undefined) done.set(at, before + told.done)
    if (told.sums !== undefined) {
      const { digest: part, ...counts } = told.sums
      digest ^= Number.parseInt(part, 16)
      for (const [name, count] of Object.entries(counts)) sums[name] = (sums[name] ?? 0) + count
    }
    if (Date.now() - toldMs < TELL_EVERY_MS) return
    toldMs = Date.now()
    const count = [...done.values()].reduce((sum, each) => sum + each, 0)
    console.error(`${count}/${seeds} seeds, ${bad} with violations`)
  }
  const startedMs = Date.now()
  /** A share of the seeds, by one process after another; why the first failed that did. */
  const lane = async (at) => {
    const all = Math.ceil((seeds - at) / processes)
    for (let before = 0; before < all; before += SEEDS_A_PROCESS) {
      const wrong = await runWorker({
        program,
        first: from + at + before * processes,
        count: Math.min(SEEDS_A_PROCESS, all - before),
        stride: processes,
        onLine: onLine(at, before),
      }).ended
      if (wrong !== undefined) return wrong
    }
    return undefined
  }
  const lanes = Array.from({ length: processes }, (_, at) => lane(at))
  const wrong = (await Promise.all(lanes)).filter(Boolean)
  for (const reason of wrong) console.log(`a process failed: ${reason}`)
  const seconds = (Date.now() - startedMs) / 1000
  const { seeds: count = 0, runs, kills, diskErrors, virtualMs = 0, steps, violations } = sums
  console.log(
    `${count} seeds from ${from} on in ${seconds.toFixed(1)} s (${((count * 60) / seconds).toFixed(0)} a minute): ` +
      `${runs} runs, ${kills} kills, ${diskErrors} disk errors, ${(virtualMs / 3_600_000).toFixed(1)} simulated hours, ` +
      `${steps} steps, ${violations} with violations; digest ${(digest >>> 0).toString(16)}`,
  )
  return wrong.length === 0 && violations === 0
}

/** One seed, twice, with all that happened in it. */
const replay = async (program, seed) => {
  let broken = 0
  const onLine = (line) => {
    console.log(line)
    if (line.startsWith(`{"seed":`)) broken += 1
  }
  const reason = await runWorker({
    program,
    first: seed,
    count: 1,
    stride: 1,
    mode: "trace",
    onLine,
  }).ended
  if (reason !== undefined) console.log(`the process failed: ${reason}`)
  return reason === undefined && broken === 0
}

const main = async () => {
  if (process.argv.includes("--mutants")) {
    const { runMutants } = await import("./simulationMutants.mjs")
    return runMutants({
      seeds: wholeNumber("seeds", 2_000),
      processes,
      only: argumentOf("only") ?? "",
    })
  }
  // Beside the packages, which the program loads from there.
  const out = temporaryFolder(path.join(ROOT, "node_modules", ".annals-simulation-"))
  try {
    const program = await bundleSimulation(ROOT, out.folder)
    const seed = wholeNumber("seed", undefined)
    return seed === undefined
      ? await simulateAll(program, wholeNumber("seeds", 1_000))
      : await replay(program, seed)
  } finally {
    out.dispose()
  }
}

process.exitCode = (await main()) ? 0 : 1
