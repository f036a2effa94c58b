/**
 * Preloaded (`node --expose-gc --import`) into a run whose memory is to be known: collects garbage
 * ten times a second, notes the bytes that are still alive on the main thread, and writes the
 * figures to `$ANNALS_MEMORY_FILE` at the end.
 */
import { writeFileSync } from "node:fs"
import { isMainThread } from "node:worker_threads"

const file = process.env.ANNALS_MEMORY_FILE
if (isMainThread && file !== undefined) {
  const live = []
  setInterval(() => {
    globalThis.gc()
    const { heapUsed, external } = process.memoryUsage()
    live.push(heapUsed + external)
  }, 100).unref()
  process.on("exit", () => {
    // The first half has the start in it: code that is loaded, peers that are dialled.
    const late = live.slice(live.length >> 1).toSorted((a, b) => a - b)
    writeFileSync(
      file,
      JSON.stringify({
        samples: live.length,
        live_mib: late.length === 0 ? 0 : late[late.length >> 1] / 2 ** 20,
        peak_rss_mib: process.resourceUsage().maxRSS / 1024,
      }),
    )
  })
}
