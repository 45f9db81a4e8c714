#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| p2piptv::fuzzing::media_world(data));
