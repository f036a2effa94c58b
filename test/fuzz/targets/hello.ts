/** What peers say first and last: hello and disconnect. */
import { RlpError } from "../../../src/domain/rlp.ts"
import {
  chooseEth,
  decodeDisconnect,
  decodeHello,
  encodeDisconnect,
  encodeHello,
} from "../../../src/wire/hello.ts"
import { agree, agreeBytes, attempt, type FuzzTarget } from "../target.ts"

const ours = {
  p2pVersion: 5,
  clientId: "Geth/v1.17.3-stable/linux-amd64/go1.26",
  capabilities: [68, 69, 70].map((version) => ({ name: "eth", version })),
  listenPort: 30_303,
  nodeId: new Uint8Array(64).fill(3),
}

export const hello: FuzzTarget = {
  name: "hello",
  kind: "rlp",
  seeds: () => [
    encodeHello(ours),
    encodeHello({ ...ours, clientId: "ü\u202E\u0007", capabilities: [] }),
    encodeHello({
      ...ours,
      capabilities: Array.from({ length: 70 }, (_, version) => ({ name: "snap", version })),
    }),
    encodeDisconnect("too_many_peers"),
    Uint8Array.of(4),
  ],
  run: (input) => {
    agree(typeof decodeDisconnect(input) === "string", "a disconnect always has a reason")
    const read = attempt(() => decodeHello(input), RlpError)
    if (read === undefined) return
    agree(read.clientId.length <= 256, "a client's name is bounded")
    agree(!/\p{Cc}/u.test(read.clientId), "a client's name has no control characters")
    agree(read.capabilities.length <= 64, "capabilities are bounded")
    agree(read.nodeId.length === 64, "a node id has 64 bytes")
    chooseEth([70, 69, 68], read.capabilities)
    const again = encodeHello(read)
    agreeBytes(encodeHello(decodeHello(again)), again, "written and read it stays the same")
  },
}
