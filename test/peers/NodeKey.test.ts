import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import os from "node:os"
import path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { loadNodeKey, NODE_KEY_FILE } from "../../src/peers/NodeKey.ts"

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(path.join(os.tmpdir(), "annals-key-"))),
  (made) => Effect.sync(() => rmSync(made, { recursive: true })),
)

describe("the node key", () => {
  it.scoped("is made once, for its owner's eyes only, and found again", () =>
    Effect.gen(function* () {
      const place = yield* directory
      const made = yield* loadNodeKey(place)
      assert.strictEqual(made.length, 32)
      const file = path.join(place, NODE_KEY_FILE)
      assert.strictEqual(statSync(file).mode & 0o777, 0o600)
      assert.deepStrictEqual(yield* loadNodeKey(place), made)
    }),
  )

  it.scoped("is refused when the file holds none, and the file is left alone", () =>
    Effect.gen(function* () {
      const place = yield* directory
      const file = path.join(place, NODE_KEY_FILE)
      for (const text of ["", "hello", "ab".repeat(31), "00".repeat(32), "ff".repeat(32)]) {
        writeFileSync(file, text)
        const error = yield* Effect.flip(loadNodeKey(place))
        assert.strictEqual(error.path, file)
        assert.strictEqual(readFileSync(file, "utf8"), text)
      }
    }),
  )
})
