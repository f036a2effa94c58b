/**
 * Our key, which is our name among peers: kept in the data directory, so that a node that comes back
 * is known. A file of 64 hex digits, as geth's `nodekey`, readable by its owner only.
 */
import { createECDH, randomBytes } from "node:crypto"
import { readFile, rename, writeFile } from "node:fs/promises"
import path from "node:path"
import { Data, Effect } from "effect"
import { parseHex, toHex } from "../domain/hex.ts"

/** The key file cannot be read or made, or holds no key. The user has to mend it. */
export class NodeKeyInvalid extends Data.TaggedError("NodeKeyInvalid")<{
  readonly path: string
  /** In a few words. */
  readonly reason: string
}> {}

/** The name of the key's file in the data directory. */
export const NODE_KEY_FILE = "nodekey"

/** Reads the key of a data directory, which must exist, or makes one. 32 bytes. */
export const loadNodeKey = Effect.fn("NodeKey.load")(function* (directory: string) {
  const file = path.join(directory, NODE_KEY_FILE)
  const text = yield* Effect.tryPromise({
    try: async () => readFile(file, "utf8"),
    catch: codeOf,
  }).pipe(
    Effect.catchAll((code) =>
      code === "ENOENT" ? make(file) : new NodeKeyInvalid({ path: file, reason: code }),
    ),
  )
  const key = parseHex(text.trim())
  if (key === undefined || !isPrivateKey(key)) {
    const reason = "it does not hold a secp256k1 key as 64 hex digits"
    return yield* new NodeKeyInvalid({ path: file, reason })
  }
  return key
})

const make = (file: string): Effect.Effect<string, NodeKeyInvalid> => {
  const text = toHex(new Uint8Array(randomBytes(32)))
  return Effect.tryPromise({
    try: async () => {
      // Whole or not at all: a kill in between must not leave a key file without a key.
      const draft = `${file}.${process.pid}`
      await writeFile(draft, text, { mode: 0o600, flag: "w" })
      await rename(draft, file)
    },
    catch: (error) => new NodeKeyInvalid({ path: file, reason: codeOf(error) }),
  }).pipe(Effect.as(text))
}

const isPrivateKey = (key: Uint8Array): boolean => {
  if (key.length !== 32) return false
  try {
    createECDH("secp256k1").setPrivateKey(key)
    return true
  } catch {
    return false
  }
}

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error ? String(error.code) : String(error)
