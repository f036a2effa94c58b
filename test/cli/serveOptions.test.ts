/** What the flags of a server come to, alone and beside a sync. */
import { assert, describe, it } from "vitest"
import { nothingGiven } from "../../src/cli/flags.ts"
import {
  type RawServerOptions,
  serveFlags,
  serveOptions,
  serverFlags,
} from "../../src/cli/serveOptions.ts"
import { defaultRpcLimits } from "../../src/rpc/rpcLimits.ts"
import { ingest, ingestRefusal } from "./givenSync.ts"

const raw = (given: Partial<RawServerOptions>) => ({ ...nothingGiven(serveFlags), ...given })

describe("serveOptions", () => {
  it("listens on this machine only, allows no page, and has limits, unless told otherwise", () => {
    assert.deepEqual(serveOptions(raw({})), {
      ok: true,
      value: {
        host: "127.0.0.1",
        port: 8545,
        hosts: [],
        origins: [],
        limits: defaultRpcLimits,
        dataDir: "annals-data",
      },
    })
  })

  it("takes every limit", () => {
    const checked = serveOptions(
      raw({
        "rpc-max-request-mib": 2,
        "rpc-max-response-mib": 3,
        "rpc-max-batch": 4,
        "rpc-max-connections": 5,
        "rpc-max-block-range": 6,
        "rpc-max-logs": 7,
        "rpc-max-filters": 8,
        "rpc-call-timeout-ms": 9,
      }),
    )
    assert.deepEqual(checked.ok ? checked.value.limits : undefined, {
      requestBytes: 2 * 1024 * 1024,
      responseBytes: 3 * 1024 * 1024,
      batchCalls: 4,
      connections: 5,
      logBlocks: 6,
      logResults: 7,
      filters: 8,
      callMs: 9,
    })
  })

  it("takes origins as browsers write them", () => {
    for (const origin of [
      "*",
      "https://a.example",
      "http://localhost:3000",
      "chrome-extension://ab",
    ]) {
      assert.isTrue(serveOptions(raw({ "cors-origin": [origin] })).ok, origin)
    }
  })

  it.each(["a.example", "https://a.example/", "https://a.example/x", "https://", ""])(
    "refuses %j for an origin in one line",
    (origin) => {
      const checked = serveOptions(raw({ "cors-origin": [origin] }))
      assert.isFalse(checked.ok)
      if (!checked.ok) assert.match(checked.reason, /^--cors-origin [^\n]+$/)
    },
  )
})

describe("a sync that serves", () => {
  it("serves only where it is asked to, with the same options", () => {
    assert.isUndefined(ingest({}).serve)
    const { serve } = ingest({ serve: true, "http-port": 0, "rpc-max-batch": 4 })
    assert.deepEqual(serve, {
      host: "127.0.0.1",
      port: 0,
      hosts: [],
      origins: [],
      limits: { ...defaultRpcLimits, batchCalls: 4 },
    })
  })

  it.each(Object.entries(serverFlags))("refuses --%s without --serve", (name, { kind }) => {
    const values = { integer: 1, text: "x", list: ["x"] }
    assert.strictEqual(ingestRefusal({ [name]: values[kind] }), `--${name} goes with --serve`)
  })

  it("refuses a benchmark, and what a server is refused", () => {
    const profile = ingestRefusal({ serve: true, benchmark: "profile" })
    assert.strictEqual(profile, "--serve does not go with --benchmark")
    assert.include(ingestRefusal({ serve: true, "cors-origin": ["a"] }), "--cors-origin takes")
  })
})
