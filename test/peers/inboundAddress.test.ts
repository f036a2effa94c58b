import { assert, describe, it } from "vitest"
import { originOf } from "../../src/peers/inboundAddress.ts"

describe("where a connection comes from", () => {
  it("is an IPv4 address, and the first 64 bits of an IPv6 address", () => {
    const cases: ReadonlyArray<readonly [string, string | undefined]> = [
      ["203.0.113.9", "203.0.113.9"],
      ["127.0.0.1", undefined],
      ["::1", undefined],
      ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
      ["2001:db8:1:2::9", "2001:db8:1:2::/64"],
      ["2001:db8::9", "2001:db8:0:0::/64"],
      ["2001:db8:1:2:3::", "2001:db8:1:2::/64"],
      ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ]
    for (const [host, origin] of cases) assert.strictEqual(originOf(host), origin, host)
  })
})
