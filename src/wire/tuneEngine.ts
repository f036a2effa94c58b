/**
 * What V8 and the allocators under Node have to be told, once a process, to move hundreds of
 * megabytes a second in buffers of one or two megabytes. Without it a third of the CPU time goes
 * into pages that are given back to the system and fetched again, and into marking the heap; and
 * the first seconds of a run go into optimizing functions that are no hotter than others.
 */
import v8 from "node:v8"

/** Just below the 32 MiB up to which glibc learns from what is freed (mallopt(3)). */
const LARGE_BLOCK_BYTES = 31 * 1024 * 1024

/**
 * How much the heap, buffers included, may grow between two full collections, in percent of what
 * lives. It is the most that V8 itself allows; left alone it goes down to 40 on a busy machine,
 * which is a collection every dozen answers.
 */
const HEAP_GROWING_PERCENT = 300

/**
 * Bytes of bytecode that a function runs before V8 looks whether to optimize it: six times its own
 * number. Optimizing took one CPU-second of the first five; most of what was optimized ran seldom.
 */
const INTERRUPT_BUDGET = 400_000

let tuned = false

/**
 * Tunes the process: freed memory is kept for the next buffer, up to 62 MiB, and the heap is
 * collected less often. To be called before work starts; later calls do nothing. Where the
 * allocator is another than glibc's, the first part has no effect.
 */
export const tuneEngine = (): void => {
  if (tuned) return
  tuned = true
  // glibc raises its thresholds when a large block is freed. This one is never written to, so that
  // it takes address space and no memory, and it is garbage from the start.
  Buffer.allocUnsafeSlow(LARGE_BLOCK_BYTES)
  v8.setFlagsFromString(`--interrupt-budget=${INTERRUPT_BUDGET}`)
  v8.setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`)
}
