/**
 * Where a checking thread starts: checks packs for the thread that started it, one after the other,
 * until it is ended. No Effect in here. An exception is a bug: it ends the thread, and with it the
 * pool.
 */
import { readFileSync } from "node:fs"
import { performance } from "node:perf_hooks"
import { parentPort } from "node:worker_threads"
import type { CheckReply, CheckRequest } from "./checkMessages.ts"
import { checkPack } from "./checkPack.ts"

/** Linux: the time of this thread on a processor, in nanoseconds, is the first number in it. */
const SCHEDSTAT = "/proc/thread-self/schedstat"

/** Processor time of this thread; where the system does not tell, the time that it was busy. */
const threadCpuMs = (): number => {
  try {
    return Number.parseInt(readFileSync(SCHEDSTAT, "latin1"), 10) / 1e6
  } catch {
    return performance.eventLoopUtilization().active
  }
}

const port = parentPort
if (port === null) throw new Error("checkWorker is no program: it is started as a thread")

port.on("message", ({ id, pack, checks }: CheckRequest) => {
  const results = checkPack(pack, checks)
  const reply: CheckReply = { id, pack, results, threadCpuMs: threadCpuMs() }
  port.postMessage(reply, [pack])
})
