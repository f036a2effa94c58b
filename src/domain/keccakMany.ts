/**
 * Keccak-256 of each of many messages, by `keccakBatch.ts`: for whoever has them in arrays of their
 * own and needs no more than the digests.
 */
import { KeccakBatch, messageBytes } from "./keccakBatch.ts"

const DIGEST_BYTES = 32
const MAX_JOBS = 512
/** Bytes of messages that are copied into the batch's memory before they are hashed. */
const RUN_BYTES = 1 << 20

let shared: KeccakBatch | undefined

/** The digests of `messages`, 32 bytes each, one behind the other, in memory of their own. */
export const keccak256Many = (messages: ReadonlyArray<Uint8Array>): Uint8Array => {
  const batch = (shared ??= new KeccakBatch(MAX_JOBS))
  const digests = new Uint8Array(DIGEST_BYTES * messages.length)
  const messagesStart = batch.start + DIGEST_BYTES * MAX_JOBS
  let done = 0
  let at = messagesStart
  const run = (): void => {
    const bytes = DIGEST_BYTES * batch.jobs
    batch.run()
    digests.set(batch.bytes.subarray(batch.start, batch.start + bytes), DIGEST_BYTES * done)
    done += bytes / DIGEST_BYTES
    at = messagesStart
  }
  for (const message of messages) {
    if (batch.full || at - messagesStart > RUN_BYTES) run()
    batch.reserve(at + messageBytes(message.length))
    batch.bytes.set(message, at)
    batch.add(at, message.length, batch.start + DIGEST_BYTES * batch.jobs)
    at += messageBytes(message.length)
  }
  run()
  return digests
}
