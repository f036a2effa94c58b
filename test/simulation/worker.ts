/**
 * A process of `npm run simulate`: works through seeds and tells what came of them.
 *
 * Arguments: the first seed, the number of seeds, the distance from one to the next, and `trace` for
 * the lines of each. Out: a line of JSON a seed that broke an invariant or was done twice and was not
 * the same, and one for the sum; every so often one that says how far it is.
 */
import { simulate, type Verdict } from "./Simulation.ts"

const [firstText = "1", countText = "1", strideText = "1", mode = ""] = process.argv.slice(2)
const [first, count, stride] = [Number(firstText), Number(countText), Number(strideText)]
/** Every so many seeds are done twice. */
const TWICE_EVERY = 50
const TELL_EVERY_MS = 2_000

const tell = (line: unknown): void => {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

const sums = { seeds: 0, runs: 0, kills: 0, diskErrors: 0, virtualMs: 0, steps: 0, violations: 0 }
let digest = 0

const one = async (seed: number): Promise<Verdict> => {
  const verdict = await simulate(seed, mode === "trace")
  if (sums.seeds % TWICE_EVERY !== 0) return verdict
  const again = await simulate(seed)
  if (again.digest === verdict.digest) return verdict
  const detail = `${verdict.digest} and then ${again.digest}`
  return {
    ...verdict,
    violations: [...verdict.violations, { invariant: "the same twice", detail }],
  }
}

let toldMs = Date.now()
for (let at = 0; at < count; at++) {
  const seed = first + at * stride
  const verdict = await one(seed)
  sums.seeds += 1
  sums.runs += verdict.runs
  sums.kills += verdict.kills
  sums.diskErrors += verdict.diskErrors
  sums.virtualMs += verdict.virtualMs
  sums.steps += verdict.steps
  digest = Math.imul(digest ^ Number.parseInt(verdict.digest, 16), 0x01000193)
  if (mode === "trace") {
    tell({ plan: verdict.plan })
    for (const line of verdict.trace) process.stdout.write(`${line}\n`)
  }
  if (verdict.violations.length > 0) {
    sums.violations += 1
    tell({ seed, violations: verdict.violations })
    if (mode === "first") break
  }
  if (Date.now() - toldMs > TELL_EVERY_MS) {
    toldMs = Date.now()
    tell({ done: sums.seeds, of: count })
  }
  // Lets the system have its turn; within a seed no promise of it is waited for.
  await new Promise((resolve) => setImmediate(resolve))
}
tell({ sums: { ...sums, digest: (digest >>> 0).toString(16) } })
