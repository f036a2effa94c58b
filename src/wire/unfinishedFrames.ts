/**
 * What frames weigh that are under way: the part of each that has come, over all sessions of the
 * program. No answer of them is there yet, so nobody else counts these bytes.
 *
 * Invariant: after a call of {@link UnfinishedFrames.book} they weigh at most `mostBytes` together:
 * where they would weigh more, the frames that come slowest are given up, with their sessions. A
 * peer that declares much and sends little weighs little.
 */

/** A session with a frame under way. */
export interface FrameHolder {
  /** Bytes of it that have come. */
  readonly frameBytes: number
  /** When its first byte came, in milliseconds. */
  readonly frameSinceMs: number
  /** Ends the session; afterwards the holder books 0 bytes. */
  readonly giveUpFrame: () => void
}

/** Frames below this are neither counted nor given up. */
const SMALL_FRAME_BYTES = 64 * 1024

/** See the module. */
export class UnfinishedFrames {
  readonly #mostBytes: number
  /** What each holder has booked. */
  readonly #booked = new Map<FrameHolder, number>()
  #bytes = 0

  /** `mostBytes` is what all frames under way may weigh together. */
  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes
  }

  /** What is booked now. */
  get bytes(): number {
    return this.#bytes
  }

  /** Books what a holder's frame weighs now, in place of what it weighed before. */
  book(holder: FrameHolder, nowMs: number): void {
    const before = this.#booked.get(holder) ?? 0
    const bytes = holder.frameBytes < SMALL_FRAME_BYTES ? 0 : holder.frameBytes
    if (bytes === before) return
    this.#bytes += bytes - before
    if (bytes === 0) this.#booked.delete(holder)
    else this.#booked.set(holder, bytes)
    while (this.#bytes > this.#mostBytes) {
      const slowest = this.#slowest(nowMs)
      if (slowest === undefined) return
      // Taken out first: the holder books 0 when it ends, which must find nothing left to do.
      this.#bytes -= this.#booked.get(slowest) ?? 0
      this.#booked.delete(slowest)
      slowest.giveUpFrame()
    }
  }

  #slowest(nowMs: number): FrameHolder | undefined {
    let slowest: FrameHolder | undefined
    let least = Infinity
    for (const holder of this.#booked.keys()) {
      const bytesPerMs = holder.frameBytes / Math.max(1, nowMs - holder.frameSinceMs)
      if (bytesPerMs >= least) continue
      least = bytesPerMs
      slowest = holder
    }
    return slowest
  }
}
