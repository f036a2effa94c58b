{
  "targets": [
    {
      "target_name": "annals",
      "sources": ["native/addon.c", "native/frames.c", "native/keccak.c"],
      "cflags": ["-O3", "-std=c11"],
      "xcode_settings": { "OTHER_CFLAGS": ["-O3", "-std=c11"] },
    }
  ]
}
