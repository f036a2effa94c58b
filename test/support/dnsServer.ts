/**
 * A small DNS server on loopback, over UDP, that answers TXT questions (RFC 1035).
 *
 * In: texts by name, which the test may change at any time. Out: the address to ask at, and the
 * names asked for. A name that is not there does not exist; one in `silent` gets no answer. Case
 * makes no difference, as in DNS: Node's resolver asks in lower case whatever it is told.
 */
import { createSocket, type Socket } from "node:dgram"
import { once } from "node:events"

/** A running server. */
export interface DnsServer {
  /** `127.0.0.1:<port>`. */
  readonly address: string
  /** Text by name. */
  readonly records: Map<string, string>
  /** Names that get no answer. */
  readonly silent: Set<string>
  /** Every name asked for, in order and in lower case. */
  readonly asked: Array<string>
  readonly close: () => Promise<void>
}

const HEADER_BYTES = 12
const TYPE_TXT = 16
const CLASS_IN = 1
/** A response, authoritative, to a question that wanted recursion. */
const FLAGS = 0x8580
const NO_SUCH_NAME = 3
/** A pointer to the name in the question. */
const NAME_OF_QUESTION = 0xc000 + HEADER_BYTES
const MOST_IN_A_STRING = 255

/** Starts a server on a free port of loopback. */
export const startDnsServer = async (records: ReadonlyMap<string, string>): Promise<DnsServer> => {
  const socket = createSocket("udp4")
  const server = {
    records: new Map(records),
    silent: new Set<string>(),
    asked: [] as Array<string>,
  }
  socket.on("message", (question, { port, address }) => {
    const { name, end } = readQuestion(question)
    server.asked.push(name)
    if ([...server.silent].some((silent) => silent.toLowerCase() === name)) return
    const text = [...server.records].find(([known]) => known.toLowerCase() === name)?.[1]
    socket.send(answer(question.subarray(0, end), text), port, address)
  })
  socket.bind(0, "127.0.0.1")
  await once(socket, "listening")
  return {
    ...server,
    address: `127.0.0.1:${socket.address().port}`,
    close: async () => closed(socket),
  }
}

const closed = async (socket: Socket): Promise<void> => {
  const end = once(socket, "close")
  socket.close()
  await end
}

/** The name asked for, and where the question ends. */
const readQuestion = (message: Buffer): { readonly name: string; readonly end: number } => {
  const labels: Array<string> = []
  let at = HEADER_BYTES
  for (let length = message[at]!; length > 0; length = message[at]!) {
    labels.push(message.toString("latin1", at + 1, at + 1 + length))
    at += 1 + length
  }
  return { name: labels.join(".").toLowerCase(), end: at + 5 }
}

const answer = (question: Buffer, text: string | undefined): Buffer => {
  const header = Buffer.alloc(HEADER_BYTES)
  question.copy(header, 0, 0, 2)
  header.writeUInt16BE(text === undefined ? FLAGS | NO_SUCH_NAME : FLAGS, 2)
  header.writeUInt16BE(1, 4)
  header.writeUInt16BE(text === undefined ? 0 : 1, 6)
  const body = question.subarray(HEADER_BYTES)
  return Buffer.concat([header, body, ...(text === undefined ? [] : [txtRecord(text)])])
}

const txtRecord = (text: string): Buffer => {
  const strings: Array<Buffer> = []
  for (let from = 0; from < text.length; from += MOST_IN_A_STRING) {
    const part = Buffer.from(text.slice(from, from + MOST_IN_A_STRING), "latin1")
    strings.push(Buffer.of(part.length), part)
  }
  const data = Buffer.concat(strings)
  const head = Buffer.alloc(HEADER_BYTES)
  head.writeUInt16BE(NAME_OF_QUESTION, 0)
  head.writeUInt16BE(TYPE_TXT, 2)
  head.writeUInt16BE(CLASS_IN, 4)
  head.writeUInt32BE(60, 6)
  head.writeUInt16BE(data.length, 10)
  return Buffer.concat([head, data])
}
