#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| discordd_fuzz::messages::check(bytes));
