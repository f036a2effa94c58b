/** What peers do to frames, compression, RLP and the order of messages. */
import { encodeBytes, encodeList, encodeUint } from "../../../src/domain/rlp.ts"
import {
  encodeBlockRangeUpdate,
  encodeItems,
  encodeReceipts,
  ETH,
} from "../../../src/wire/ethMessages.ts"
import { EMPTY_LIST, P2P } from "../../../src/wire/hello.ts"
import { compress } from "../../../src/wire/snappyMessage.ts"
import type { HostileScript } from "../HostilePeer.ts"
import {
  hashOf,
  MILLION,
  largeFrameStart,
  overstated,
  nested,
  isHeaders,
  batchOf,
  insteadOfHeaders,
  upsideDown,
} from "./parts.ts"

/** See the module. */
export const framingScripts: ReadonlyArray<HostileScript> = [
  {
    name: "wrong-mac",
    answer: insteadOfHeaders((line, { requestId }) => {
      const frame = line.eth(ETH.blockHeaders, encodeItems(requestId, []))
      frame[frame.length - 1]! ^= 1
      return frame
    }),
    expected: { breach: "bad_frame" },
  },
  {
    name: "wrong-header-mac",
    answer: insteadOfHeaders((line, { requestId }) => {
      const frame = line.eth(ETH.blockHeaders, encodeItems(requestId, []))
      frame[0]! ^= 1
      return frame
    }),
    expected: { breach: "bad_frame" },
  },
  {
    name: "replayed-frame",
    opened: (line) => {
      const frame = line.message(P2P.ping, EMPTY_LIST)
      line.send(frame)
      line.send(frame)
    },
    expected: { breach: "bad_frame" },
  },
  {
    name: "reordered-frames",
    opened: (line) => {
      const frames = [1, 2].map(() => line.message(P2P.ping, EMPTY_LIST))
      for (const frame of frames.toReversed()) line.send(frame)
    },
    expected: { breach: "bad_frame" },
  },
  {
    name: "no-message-code",
    opened: (line) => line.send(line.frame(Uint8Array.of(0xff, 0xc0))),
    expected: { breach: "bad_frame" },
  },
  {
    name: "empty-frame",
    opened: (line) => line.send(line.frame(new Uint8Array(0))),
    expected: { breach: "bad_frame" },
  },
  {
    name: "cut-frame",
    answer: insteadOfHeaders((line, { requestId }) => {
      const frame = line.eth(ETH.blockHeaders, encodeItems(requestId, []))
      line.socket.end(frame.subarray(0, 40))
      return new Uint8Array(0)
    }),
    expected: { closed: "peer: tcp_error" },
  },
  {
    name: "16-mib-and-10-bytes",
    opened: (line) => line.send(largeFrameStart(line)),
    expected: { breach: "frame_too_large" },
  },
  {
    name: "answer-drip",
    answer: insteadOfHeaders((line, { requestId }) => {
      line.drip(line.eth(ETH.blockHeaders, encodeItems(requestId, [])), 100)
      return new Uint8Array(0)
    }),
    expected: { failure: "timeout" },
  },
  {
    name: "snappy-bomb",
    answer: insteadOfHeaders((line) => line.packed(ETH.blockHeaders, overstated(2 ** 24 - 2))),
    expected: { breach: "message_too_large" },
  },
  {
    name: "snappy-overstated",
    answer: insteadOfHeaders((line) => line.packed(ETH.blockHeaders, overstated(100_000))),
    expected: { breach: "bad_compression" },
  },
  {
    name: "snappy-zeros",
    answer: insteadOfHeaders((line) =>
      line.packed(ETH.blockHeaders, compress(new Uint8Array(2 ** 24 - 2))),
    ),
    expected: { breach: "message_too_large" },
  },
  {
    name: "no-snappy",
    answer: insteadOfHeaders((line) =>
      line.packed(ETH.blockHeaders, Uint8Array.of(20, 0xff, 0xff, 0xff, 1, 2, 3, 4)),
    ),
    expected: { breach: "bad_compression" },
  },
  {
    name: "rlp-deep",
    answer: batchOf(() => [nested(500)]),
    expected: { failure: "wrong_header" },
  },
  {
    name: "rlp-length-overflow",
    answer: insteadOfHeaders((line) =>
      line.eth(ETH.blockHeaders, Uint8Array.of(0xff, 255, 255, 255, 255, 255, 255, 255, 255)),
    ),
    expected: { breach: "bad_message" },
  },
  {
    name: "rlp-not-canonical",
    answer: insteadOfHeaders((line) =>
      line.eth(ETH.blockHeaders, Uint8Array.of(0xf8, 2, 0x81, 0x01)),
    ),
    expected: { breach: "bad_message" },
  },
  {
    name: "rlp-leading-zero",
    answer: insteadOfHeaders((line) =>
      line.eth(ETH.blockHeaders, Uint8Array.of(0xc4, 0x82, 0, 1, 0xc0)),
    ),
    expected: { breach: "bad_message" },
  },
  {
    name: "millions-of-items",
    answer: (_line, request, honest) =>
      request._tag === "GetBlockBodies"
        ? encodeItems(request.requestId, [new Uint8Array(15 * MILLION).fill(0xc0)])
        : honest,
    expected: { breach: "wrong_answer" },
  },
  {
    name: "unknown-code",
    opened: (line) => line.send(line.eth(0x0d, EMPTY_LIST)),
    expected: { breach: "unexpected_message" },
  },
  {
    name: "second-status",
    opened: (line) => line.send(line.eth(ETH.status, EMPTY_LIST)),
    expected: { breach: "unexpected_message" },
  },
  {
    name: "second-hello",
    opened: (line) => line.send(line.message(P2P.hello, EMPTY_LIST)),
    expected: { breach: "unexpected_message" },
  },
  {
    name: "unasked-answer",
    opened: (line) => line.send(line.eth(ETH.receipts, encodeReceipts(line.version, 99n, []))),
    expected: { breach: "unasked_answer" },
  },
  {
    name: "duplicate-answer",
    answer: (line, request, honest) => {
      if (isHeaders(request)) line.send(line.eth(ETH.blockHeaders, honest))
      return honest
    },
    expected: { breach: "unasked_answer" },
  },
  {
    name: "answer-to-a-later-request",
    answer: insteadOfHeaders((line, { requestId }) =>
      line.eth(ETH.blockHeaders, encodeItems(requestId + 1_000n, [])),
    ),
    expected: { breach: "unasked_answer" },
  },
  {
    name: "wrong-kind",
    answer: insteadOfHeaders((line, { requestId }) =>
      line.eth(ETH.blockBodies, encodeItems(requestId, [])),
    ),
    expected: { breach: "unasked_answer" },
  },
  {
    name: "more-than-asked",
    answer: (line, request, honest) => {
      if (request._tag !== "GetBlockHeaders") return honest
      const more = Array.from({ length: request.limit + 1 }, () => line.chain.headerAt(1)!)
      return encodeItems(request.requestId, more)
    },
    expected: { breach: "wrong_answer" },
  },
  {
    name: "range-upside-down",
    opened: (line) => line.send(line.eth(ETH.blockRangeUpdate, encodeBlockRangeUpdate(upsideDown))),
    expected: { breach: "bad_message" },
  },
  {
    name: "range-2-64",
    opened: (line) => {
      const latest = encodeUint(2n ** 64n - 1n)
      const range = encodeList([encodeUint(0), latest, encodeBytes(hashOf(1))])
      line.send(line.eth(ETH.blockRangeUpdate, range))
    },
    expected: { breach: "bad_message" },
  },
]
