/** Every target, in the order in which they are run. */
import type { FuzzTarget } from "./target.ts"
import { block } from "./targets/block.ts"
import { body } from "./targets/body.ts"
import { era1, era1Content, rlpChain } from "./targets/chainFiles.ts"
import { packet, packetContent } from "./targets/discv4.ts"
import { answers, requests, status } from "./targets/ethMessages.ts"
import { frames, link } from "./targets/frames.ts"
import { node } from "./targets/discv4Node.ts"
import { genesis } from "./targets/genesis.ts"
import { ack, ackContent, auth, authContent, plainAuthContent } from "./targets/handshake.ts"
import { header } from "./targets/header.ts"
import { hello } from "./targets/hello.ts"
import { dnsEntry, dnsRoot, enode, enrContent, enrRecord, enrText } from "./targets/nodes.ts"
import { peerCache } from "./targets/peerCache.ts"
import { payloadCodec } from "./targets/payloadCodec.ts"
import { receipts68, receipts69 } from "./targets/receipts.ts"
import { rlp } from "./targets/rlp.ts"
import { snappy } from "./targets/snappy.ts"
import { transaction } from "./targets/transaction.ts"
import { trie } from "./targets/trie.ts"

export const targets: ReadonlyArray<FuzzTarget> = [
  rlp,
  header,
  transaction,
  receipts68,
  receipts69,
  body,
  trie,
  block,
  status,
  requests,
  answers,
  hello,
  auth,
  authContent,
  plainAuthContent,
  ack,
  ackContent,
  frames,
  link,
  snappy,
  era1,
  era1Content,
  rlpChain,
  genesis,
  enode,
  enrText,
  enrRecord,
  enrContent,
  dnsEntry,
  dnsRoot,
  packet,
  packetContent,
  node,
  peerCache,
  payloadCodec,
]
