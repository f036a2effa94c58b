/**
 * The memory of answers, free again as soon as the last of their parts was used, and not when the
 * collector comes: answers are megabytes, and V8 collects everything for every 64 MB of such memory.
 *
 * In: memory that an answer has for itself ({@link ownMemory}), how many parts of it are handed on
 * ({@link lendMemory}), and each part that nobody looks at any more ({@link giveBack}). Out: the memory
 * is detached after the last one: whoever looks at it all the same finds no bytes, and never another
 * answer's.
 *
 * Invariants: memory that was not lent is never detached, nor memory of which a part is still out.
 * A part that is never given back costs nothing but time: the collector finds it. So does all memory
 * where there is no addon.
 */
import { native } from "./native.ts"

/** Below that the collector is as quick. */
const LEAST_BYTES = 1024

/** By memory, the parts of it that are out; 0 before it was lent. */
const partsOut = new WeakMap<ArrayBufferLike, number>()

/** `bytes` are an answer, alone in their memory. */
export const ownMemory = (bytes: Uint8Array): void => {
  if (native === undefined || bytes.length < LEAST_BYTES) return
  if (bytes.length === bytes.buffer.byteLength) partsOut.set(bytes.buffer, 0)
}

/** The answer of which `part` is one is handed on in so many parts; for each, once, {@link giveBack}. */
export const lendMemory = (part: Uint8Array, parts: number): void => {
  if (partsOut.get(part.buffer) === 0 && parts > 0) partsOut.set(part.buffer, parts)
}

/** Nobody looks at this part of an answer any more. */
export const giveBack = (part: Uint8Array): void => {
  const out = partsOut.get(part.buffer)
  if (out === undefined || out === 0) return
  if (out > 1) {
    partsOut.set(part.buffer, out - 1)
    return
  }
  partsOut.delete(part.buffer)
  native?.detach(part.buffer)
}
