/** The messages between a `CheckPool` and its threads. Packs travel by transfer. */
import type { BlockCheck } from "./checkBlock.ts"
import type { Check } from "./checks.ts"

/** To a thread: check this pack. */
export interface CheckRequest {
  readonly id: number
  readonly pack: ArrayBuffer
  readonly checks: ReadonlySet<Check>
}

/** From a thread: the pack that came with `id`, checked. */
export interface CheckReply {
  readonly id: number
  readonly pack: ArrayBuffer
  /** In the pack's order. */
  readonly results: ReadonlyArray<BlockCheck>
  /** Processor time that the thread has used since it began, in milliseconds. */
  readonly threadCpuMs: number
}
