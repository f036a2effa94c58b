/**
 * The RLPx handshake: auths and acks as bytes of anybody, and as bytes of one who has our public key
 * and seals what he likes.
 */
import { initiate, nodeIdOf, HandshakeError, respond } from "../../../src/wire/handshake.ts"
import { ECIES_OVERHEAD_BYTES, open, seal } from "../../../src/wire/eciesMessage.ts"
import { concatBytes } from "../../../src/domain/rlp.ts"
import { ack2, ack3, auth1, auth2, auth3, staticKeyA, staticKeyB } from "../../wire/eip8Vectors.ts"
import { agree, type FuzzTarget } from "../target.ts"

const idA = nodeIdOf(staticKeyA)
const idB = nodeIdOf(staticKeyB)
const NOTHING = new Uint8Array(0)

export const auth: FuzzTarget = {
  name: "auth",
  kind: "bytes",
  seeds: () => [auth1, auth2, auth3, concatBytes([auth2, new Uint8Array(40)])],
  run: async (input) => push(input, "responder"),
}

export const authContent: FuzzTarget = {
  name: "auth-content",
  testInputs: 150,
  kind: "rlp",
  seeds: () => [auth2, auth3].map((message) => unsealed(staticKeyB, message)),
  run: async (input) => push(prefixed(idB, input), "responder"),
}

export const plainAuthContent: FuzzTarget = {
  name: "auth-plain-content",
  testInputs: 1_500,
  kind: "bytes",
  seeds: () => [open(staticKeyB, auth1, NOTHING)],
  run: async (input) => push(seal(idB, input, NOTHING), "responder"),
}

export const ack: FuzzTarget = {
  name: "ack",
  testInputs: 200,
  kind: "bytes",
  seeds: () => [ack2, ack3],
  run: async (input) => push(input, "initiator"),
}

export const ackContent: FuzzTarget = {
  name: "ack-content",
  testInputs: 150,
  kind: "rlp",
  seeds: () => [ack2, ack3].map((message) => unsealed(staticKeyA, message)),
  run: async (input) => push(prefixed(idA, input), "initiator"),
}

/** The content of a message with its size before it (EIP-8). */
const unsealed = (privateKey: Uint8Array, message: Uint8Array): Uint8Array =>
  open(privateKey, message.subarray(2), message.subarray(0, 2))

/** The other way round. */
const prefixed = (recipient: Uint8Array, content: Uint8Array): Uint8Array => {
  const length = content.length + ECIES_OVERHEAD_BYTES
  const size = Uint8Array.of((length >> 8) & 255, length & 255)
  return concatBytes([size, seal(recipient, content, size)])
}

/** What shows that a library tripped over the bytes, and did not refuse them. */
const STUMBLED = /cannot read|is not a|undefined|invalid typed array|not iterable|stack/i

/** Whole and in two pieces the message is taken or refused alike. */
const push = async (message: Uint8Array, side: "responder" | "initiator"): Promise<void> => {
  const cut = message.length >> 1
  const whole = await outcome([message], side)
  const pieces = await outcome([message.subarray(0, cut), message.subarray(cut)], side)
  agree(whole === pieces, `however it is cut: ${whole} for ${pieces}`)
}

const outcome = async (
  chunks: ReadonlyArray<Uint8Array>,
  side: "responder" | "initiator",
): Promise<"done" | "waits" | "refused"> => {
  const handshake =
    side === "responder" ? await respond(staticKeyB, idB) : await initiate(staticKeyA, idA, idB)
  try {
    for (const chunk of chunks) {
      const result = handshake.push(chunk)
      if (result === undefined) continue
      const { secrets, remoteId } = result
      agree(remoteId.length === 64, "a node id has 64 bytes")
      agree(secrets.aesSecret.length === 32 && secrets.macSecret.length === 32, "secrets of 32")
      return "done"
    }
    return "waits"
  } catch (error) {
    if (!(error instanceof HandshakeError)) throw error
    agree(!STUMBLED.test(error.message), `it is refused for a reason: ${error.message}`)
    return "refused"
  }
}
