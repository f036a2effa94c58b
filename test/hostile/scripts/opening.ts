/** What peers do before there is a session: connection, handshake, hello, Status. */
import crypto from "node:crypto"
import { encodeList, encodeUint, RlpReader } from "../../../src/domain/rlp.ts"
import { ETH } from "../../../src/wire/ethMessages.ts"
import { encodeDisconnect, P2P } from "../../../src/wire/hello.ts"
import type { HostileScript } from "../HostilePeer.ts"
import { hashOf, largeFrameStart, overstated } from "./parts.ts"

/** Its place in the Status of eth/69 and later (EIP-7642). */
const LATEST_BLOCK_FIELD = 5

/** See the module. */
export const openingScripts: ReadonlyArray<HostileScript> = [
  { name: "deaf", connected: () => {}, expected: { refused: "handshake_timeout" } },
  {
    name: "handshake-drip",
    connected: (socket) => {
      const timer = setInterval(() => socket.write(Uint8Array.of(1)), 20)
      socket.on("close", () => clearInterval(timer))
    },
    expected: { refused: "handshake_timeout" },
  },
  {
    name: "handshake-garbage",
    connected: (socket) => socket.write(Buffer.concat([Buffer.of(1, 0), crypto.randomBytes(600)])),
    expected: { refused: "handshake_failed" },
  },
  {
    name: "handshake-huge",
    connected: (socket) => socket.write(Buffer.concat([Buffer.of(0xff, 0xff), new Uint8Array(9)])),
    expected: { refused: "handshake_failed" },
  },
  {
    name: "handshake-cut",
    connected: (socket) => socket.end(crypto.randomBytes(100)),
    expected: { refused: "handshake_failed" },
  },
  { name: "hello-never", afterHandshake: () => {}, expected: { refused: "hello_timeout" } },
  {
    name: "hello-drip",
    afterHandshake: (line, hello) => line.drip(line.message(P2P.hello, hello)),
    expected: { refused: "hello_timeout" },
  },
  {
    name: "hello-16-mib",
    afterHandshake: (line) => line.send(largeFrameStart(line)),
    expected: { refused: "hello_failed" },
  },
  {
    name: "hello-cut",
    afterHandshake: (line, hello) => {
      line.socket.end(line.message(P2P.hello, hello).subarray(0, 50))
    },
    expected: { refused: "hello_failed" },
  },
  {
    name: "hello-wrong-mac",
    afterHandshake: (line, hello) => {
      const frame = line.message(P2P.hello, hello)
      frame[frame.length - 1]! ^= 1
      line.send(frame)
    },
    expected: { refused: "hello_failed" },
  },
  {
    name: "hello-twice",
    afterHandshake: (line, hello) => {
      line.send(line.message(P2P.hello, hello))
      line.send(line.message(P2P.hello, hello))
    },
    expected: { refused: "status_failed" },
  },
  {
    name: "hello-no-rlp",
    afterHandshake: (line) => line.send(line.message(P2P.hello, Uint8Array.of(0xf8, 0xff))),
    expected: { refused: "hello_failed" },
  },
  {
    name: "hello-many-capabilities",
    hello: {
      capabilities: [
        ...Array.from({ length: 500 }, (_, n) => ({ name: `cap${n}`, version: 1 })),
        { name: "eth", version: 70 },
      ],
    },
    expected: { refused: "no_common_protocol" },
  },
  {
    name: "hello-other-key",
    hello: { nodeId: new Uint8Array(64).fill(3) },
    expected: { refused: "hello_failed" },
  },
  {
    name: "disconnect-storm",
    afterHandshake: (line) =>
      line.send(line.message(P2P.disconnect, encodeDisconnect("too_many_peers"))),
    expected: { refused: "too_many_peers" },
  },
  { name: "status-never", afterHello: () => {}, expected: { refused: "status_timeout" } },
  {
    name: "status-drip",
    afterHello: (line, status) => line.drip(line.eth(ETH.status, status)),
    expected: { refused: "status_timeout" },
  },
  {
    name: "status-bomb",
    afterHello: (line) => line.send(line.packed(ETH.status, overstated(2 ** 30))),
    expected: { refused: "status_failed" },
  },
  {
    name: "status-2-64",
    afterHello: (line, status) => {
      const fields = RlpReader.list(status).restItems()
      const wrong = encodeList(fields.with(LATEST_BLOCK_FIELD, encodeUint(2n ** 64n - 1n)))
      line.send(line.eth(ETH.status, wrong))
    },
    expected: { refused: "status_failed" },
  },
  {
    name: "status-other-chain",
    status: (honest) => ({ ...honest, genesisHash: hashOf(1) }),
    expected: { refused: "wrong_genesis" },
  },
  {
    name: "message-before-status",
    afterHello: (line) => line.send(line.eth(ETH.newBlock, new Uint8Array(100))),
    expected: { refused: "status_failed" },
  },
]
