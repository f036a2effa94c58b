/*
 * What of keccak.c and frames.c is called from JavaScript, by Node-API:
 *
 *   version                              of what is exported here: rises with every change of it
 *   lanes                                how many messages hashMany works on at once; 1: no vectors
 *   hashMany(memory, jobs, jobsEnd, n)   a table of jobs, as src/domain/keccakBatch.ts describes it,
 *                                        n at once: 8 or 4, at most as many as `lanes`
 *   blooms(source, items, end, filters, total, n)
 *                                        adds to filters the items that a table names up to a byte
 *                                        `end`: each where it is in the source, its length, and
 *                                        where its filter is, as three 32-bit integers
 *   hash(data, digest)                   writes the 32 bytes of the digest
 *   update(state, data)                  absorbs; a state of zeros is a fresh one
 *   digest(state, digest)                reads; the state goes on
 *   detach(memory)                       takes its bytes from an ArrayBuffer, and frees them now
 *   frames                               whether this processor can do what follows
 *   frameStart(state, aesKey, macKey, seed)
 *                                        makes the state of one direction of a connection
 *   frameOpenHeader(state, header)       decrypts 16 bytes where they are, before the 16 of their MAC;
 *                                        false: the MAC is another one
 *   frameOpenBody(state, body)           the same of a body, padded, with its MAC as the last 16 bytes
 *   frameSeal(state, frame)              a header, room for its MAC, a body, room for its MAC
 *
 * All bytes are Uint8Arrays. Wrong arguments throw; they are the caller's fault.
 */
#include <node_api.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "frames.h"
#include "keccak.h"

enum { VERSION = 4 };

typedef struct {
  uint8_t *data;
  size_t length;
} Bytes;

static bool bytes_of(napi_env env, napi_value value, Bytes *bytes) {
  napi_typedarray_type type;
  void *data;
  const napi_status status =
      napi_get_typedarray_info(env, value, &type, &bytes->length, &data, NULL, NULL);
  bytes->data = data;
  if (status == napi_ok && type == napi_uint8_array) return true;
  napi_throw_type_error(env, NULL, "a Uint8Array is wanted");
  return false;
}

/* Reads `count` arguments, four at most, that are bytes, each at least as long as asked for. */
static bool take_bytes(napi_env env, napi_callback_info info, int count, Bytes *bytes,
                       const size_t *least) {
  napi_value values[4];
  size_t given = (size_t)count;
  if (napi_get_cb_info(env, info, &given, values, NULL, NULL) != napi_ok) return false;
  for (int i = 0; i < count; i++) {
    if (!bytes_of(env, values[i], &bytes[i])) return false;
    if (bytes[i].length < least[i]) {
      napi_throw_range_error(env, NULL, "an array is too short");
      return false;
    }
  }
  return true;
}

static napi_value js_hash(napi_env env, napi_callback_info info) {
  Bytes bytes[2];
  if (!take_bytes(env, info, 2, bytes, (const size_t[]){0, KECCAK_DIGEST_BYTES})) return NULL;
  KeccakSponge sponge = {0};
  keccak_absorb(&sponge, bytes[0].data, bytes[0].length);
  keccak_squeeze(&sponge, bytes[1].data);
  return NULL;
}

static napi_value js_update(napi_env env, napi_callback_info info) {
  Bytes bytes[2];
  if (!take_bytes(env, info, 2, bytes, (const size_t[]){sizeof(KeccakSponge), 0})) return NULL;
  KeccakSponge sponge;
  memcpy(&sponge, bytes[0].data, sizeof(KeccakSponge));
  keccak_absorb(&sponge, bytes[1].data, bytes[1].length);
  memcpy(bytes[0].data, &sponge, sizeof(KeccakSponge));
  return NULL;
}

static napi_value js_digest(napi_env env, napi_callback_info info) {
  Bytes bytes[2];
  const size_t least[] = {sizeof(KeccakSponge), KECCAK_DIGEST_BYTES};
  if (!take_bytes(env, info, 2, bytes, least)) return NULL;
  KeccakSponge sponge;
  memcpy(&sponge, bytes[0].data, sizeof(KeccakSponge));
  keccak_squeeze(&sponge, bytes[1].data);
  return NULL;
}

static napi_value js_hash_many(napi_env env, napi_callback_info info) {
  napi_value values[4];
  size_t given = 4;
  Bytes memory;
  uint32_t jobs, jobs_end, lanes;
  if (napi_get_cb_info(env, info, &given, values, NULL, NULL) != napi_ok) return NULL;
  if (!bytes_of(env, values[0], &memory)) return NULL;
  if (napi_get_value_uint32(env, values[1], &jobs) != napi_ok ||
      napi_get_value_uint32(env, values[2], &jobs_end) != napi_ok || jobs > jobs_end ||
      jobs_end > memory.length || jobs % 4 != 0 || (jobs_end - jobs) % sizeof(KeccakJob) != 0) {
    napi_throw_range_error(env, NULL, "no table of jobs in this memory");
    return NULL;
  }
  if (napi_get_value_uint32(env, values[3], &lanes) != napi_ok || (lanes != 8 && lanes != 4) ||
      (int)lanes > keccak_lanes()) {
    napi_throw_range_error(env, NULL, "this processor has no vectors of this kind");
    return NULL;
  }
  keccak_hash_many(memory.data, memory.length, (const KeccakJob *)(memory.data + jobs),
                   (const KeccakJob *)(memory.data + jobs_end), (int)lanes);
  return NULL;
}

static napi_value js_blooms(napi_env env, napi_callback_info info) {
  napi_value values[6];
  size_t given = 6;
  Bytes source, items, filters, total;
  uint32_t end, lanes;
  if (napi_get_cb_info(env, info, &given, values, NULL, NULL) != napi_ok) return NULL;
  if (!bytes_of(env, values[0], &source) || !bytes_of(env, values[1], &items) ||
      !bytes_of(env, values[3], &filters) || !bytes_of(env, values[4], &total)) {
    return NULL;
  }
  if (napi_get_value_uint32(env, values[2], &end) != napi_ok || end > items.length ||
      end % sizeof(KeccakItem) != 0 || total.length < KECCAK_BLOOM_BYTES ||
      napi_get_value_uint32(env, values[5], &lanes) != napi_ok || (lanes != 8 && lanes != 4) ||
      (int)lanes > keccak_lanes()) {
    napi_throw_range_error(env, NULL, "no table of items, or no vectors of this kind");
    return NULL;
  }
  keccak_blooms(source.data, source.length, (const KeccakItem *)items.data,
                end / sizeof(KeccakItem), filters.data, filters.length, total.data, (int)lanes);
  return NULL;
}

static napi_value js_detach(napi_env env, napi_callback_info info) {
  napi_value memory;
  size_t given = 1;
  if (napi_get_cb_info(env, info, &given, &memory, NULL, NULL) != napi_ok) return NULL;
  if (napi_detach_arraybuffer(env, memory) != napi_ok)
    napi_throw_type_error(env, NULL, "an ArrayBuffer that can be detached is wanted");
  return NULL;
}

/* Reads a state of frames and more bytes; without a processor that can there is no state. */
static bool take_frame(napi_env env, napi_callback_info info, int count, Bytes *bytes,
                       const size_t *least, FrameState **state) {
  if (!take_bytes(env, info, count, bytes, least)) return false;
  *state = (FrameState *)bytes[0].data;
  if (frames_supported() && (uintptr_t)bytes[0].data % _Alignof(FrameState) == 0) return true;
  napi_throw_range_error(env, NULL, "no instructions for AES, or a state that is not aligned");
  return false;
}

static napi_value boolean(napi_env env, bool value) {
  napi_value result = NULL;
  napi_get_boolean(env, value, &result);
  return result;
}

static napi_value js_frame_start(napi_env env, napi_callback_info info) {
  Bytes bytes[4];
  FrameState *state;
  const size_t least[] = {sizeof(FrameState), FRAME_KEY_BYTES, FRAME_KEY_BYTES, 0};
  if (take_frame(env, info, 4, bytes, least, &state))
    frames_start(state, bytes[1].data, bytes[2].data, bytes[3].data, bytes[3].length);
  return NULL;
}

static napi_value js_frame_open_header(napi_env env, napi_callback_info info) {
  Bytes bytes[2];
  FrameState *state;
  const size_t least[] = {sizeof(FrameState), FRAME_HEADER_BYTES + FRAME_MAC_BYTES};
  if (!take_frame(env, info, 2, bytes, least, &state)) return NULL;
  return boolean(env, frames_open_header(state, bytes[1].data));
}

/* Of so many bytes before the MAC that ends an array; false and an error where they are no blocks. */
static bool in_blocks(napi_env env, size_t length) {
  if (length % FRAME_BLOCK_BYTES == 0) return true;
  napi_throw_range_error(env, NULL, "a multiple of 16 bytes is wanted");
  return false;
}

static napi_value js_frame_open_body(napi_env env, napi_callback_info info) {
  Bytes bytes[2];
  FrameState *state;
  const size_t least[] = {sizeof(FrameState), FRAME_MAC_BYTES};
  if (!take_frame(env, info, 2, bytes, least, &state)) return NULL;
  const size_t length = bytes[1].length - FRAME_MAC_BYTES;
  if (!in_blocks(env, length)) return NULL;
  return boolean(env, frames_open_body(state, bytes[1].data, length));
}

static napi_value js_frame_seal(napi_env env, napi_callback_info info) {
  Bytes bytes[2];
  FrameState *state;
  const size_t around = FRAME_HEADER_BYTES + 2 * FRAME_MAC_BYTES;
  const size_t least[] = {sizeof(FrameState), around};
  if (!take_frame(env, info, 2, bytes, least, &state)) return NULL;
  const size_t length = bytes[1].length - around;
  if (in_blocks(env, length)) frames_seal(state, bytes[1].data, length);
  return NULL;
}

static void export(napi_env env, napi_value exports, const char *name, napi_callback call) {
  napi_value function;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, call, NULL, &function) == napi_ok)
    napi_set_named_property(env, exports, name, function);
}

NAPI_MODULE_INIT() {
  keccak_init();
  napi_value version, count;
  if (napi_create_int32(env, VERSION, &version) == napi_ok)
    napi_set_named_property(env, exports, "version", version);
  if (napi_create_int32(env, keccak_lanes(), &count) == napi_ok)
    napi_set_named_property(env, exports, "lanes", count);
  export(env, exports, "hashMany", js_hash_many);
  export(env, exports, "blooms", js_blooms);
  export(env, exports, "hash", js_hash);
  export(env, exports, "update", js_update);
  export(env, exports, "digest", js_digest);
  export(env, exports, "detach", js_detach);
  napi_set_named_property(env, exports, "frames", boolean(env, frames_supported()));
  export(env, exports, "frameStart", js_frame_start);
  export(env, exports, "frameOpenHeader", js_frame_open_header);
  export(env, exports, "frameOpenBody", js_frame_open_body);
  export(env, exports, "frameSeal", js_frame_seal);
  return exports;
}
