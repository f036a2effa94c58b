/**
 * Runs a target on one input and says what was wrong with that. Time is the CPU's, confirmed by
 * runs anew, so that a busy machine makes no findings.
 */
import { performance } from "node:perf_hooks"
import v8 from "node:v8"
import { DEFAULT_CPU_MS, DEFAULT_GROWTH_MIB, Disagreement, type FuzzTarget } from "./target.ts"

/** Something that must not be. */
export interface Finding {
  /** `threw`: an error that is not the decoder's; `disagrees`: a promise that was not kept. */
  readonly kind: "threw" | "disagrees" | "slow" | "grew"
  readonly detail: string
}

/** Slow and large inputs are run so often again before they are believed. */
const CONFIRMATIONS = 4

/** What is wrong with the target on this input; undefined when nothing is. */
export const judge = async (
  target: FuzzTarget,
  input: Uint8Array,
): Promise<Finding | undefined> => {
  const startedMs = performance.now()
  const before = heapBytes()
  const wrong = await runOnce(target, input)
  if (wrong !== undefined) return wrong
  const limitMs = target.cpuMs ?? DEFAULT_CPU_MS
  if (performance.now() - startedMs > limitMs) {
    const cpuMs = await leastOf(async () => {
      const start = process.cpuUsage()
      await runOnce(target, input)
      const { user, system } = process.cpuUsage(start)
      return (user + system) / 1_000
    })
    if (cpuMs > limitMs) return { kind: "slow", detail: `${Math.round(cpuMs)} ms of CPU` }
  }
  const limitBytes = (target.growthMib ?? DEFAULT_GROWTH_MIB) * 2 ** 20
  if (heapBytes() - before > limitBytes) {
    const grown = await leastOf(async () => {
      const start = heapBytes()
      await runOnce(target, input)
      return heapBytes() - start
    })
    if (grown > limitBytes) {
      return { kind: "grew", detail: `by ${Math.round(grown / 2 ** 20)} MiB` }
    }
  }
  return undefined
}

const runOnce = async (target: FuzzTarget, input: Uint8Array): Promise<Finding | undefined> => {
  try {
    // A decoder that alters its input must not spoil it for the next run.
    const running = target.run(new Uint8Array(input))
    if (running !== undefined) await running
    return undefined
  } catch (error) {
    const kind = error instanceof Disagreement ? "disagrees" : "threw"
    return { kind, detail: describe(error) }
  }
}

const leastOf = async (measure: () => Promise<number>): Promise<number> => {
  let least = Infinity
  for (let i = 0; i < CONFIRMATIONS; i++) least = Math.min(least, await measure())
  return least
}

const heapBytes = (): number => {
  const { used_heap_size, external_memory } = v8.getHeapStatistics()
  return used_heap_size + external_memory
}

const describe = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? `${error.name}: ${error.message}`) : String(error)
