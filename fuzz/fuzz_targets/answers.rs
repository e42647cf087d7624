//! The reader of HTTP/1.1 answers under whatever bytes the fuzzer thinks of: the first byte says how they are cut.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((piece, answer)) = bytes.split_first() else { return };
    tidemill_load::fuzz_answer(answer, usize::from(*piece) + 1);
});
