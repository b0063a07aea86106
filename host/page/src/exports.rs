//! What the module exports: the caller pushes a question word by word, has it answered, and pulls the report.
//!
//! In scope: bytes in, bytes out.
//! Out of scope: what they say (`report`).
//!
//! Words, and not addresses in the module's memory, so that nothing here needs an unsafe block: a few thousand calls
//! more cost a browser less than a millisecond.

#![expect(unsafe_code, reason = "naming an export is an unsafe attribute; there is no unsafe block")]

use std::cell::RefCell;

use crate::report;

/// Bytes in a word.
const WORD_BYTES: usize = 8;

thread_local! {
    static QUESTION: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static REPORT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Appends the lowest `n_bytes` bytes of `word` to the question, the lowest first.
#[unsafe(no_mangle)]
extern "C" fn push(word: u64, n_bytes: u32) {
    let n_bytes = usize::try_from(n_bytes).unwrap_or(WORD_BYTES);
    QUESTION.with_borrow_mut(|question| question.extend(word.to_le_bytes().into_iter().take(n_bytes)));
}

/// Answers the question and forgets it. Returns the length of the report in bytes.
#[unsafe(no_mangle)]
extern "C" fn run() -> u32 {
    let question = QUESTION.take();
    // Other bytes than UTF-8 are no JSON, which the report says.
    let report = report(std::str::from_utf8(&question).unwrap_or_default()).into_bytes();
    let n_bytes = u32::try_from(report.len()).unwrap_or(u32::MAX);
    REPORT.set(report);
    n_bytes
}

/// The `index`-th word of the report, zeros after its end.
#[unsafe(no_mangle)]
extern "C" fn pull(index: u32) -> u64 {
    REPORT.with_borrow(|report| {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let word = report.chunks(WORD_BYTES).nth(index).unwrap_or_default();
        word.iter().rev().fold(0, |rest, byte| rest << 8 | u64::from(*byte))
    })
}

#[cfg(test)]
mod tests {
    use super::{WORD_BYTES, pull, push, run};

    fn ask(question: &[u8]) -> String {
        for piece in question.chunks(WORD_BYTES) {
            let word = piece.iter().rev().fold(0, |rest, byte| rest << 8 | u64::from(*byte));
            push(word, piece.len().try_into().unwrap());
        }
        let n_bytes = usize::try_from(run()).unwrap();
        let words = (0..).map(|index| pull(index)).take(n_bytes.div_ceil(WORD_BYTES));
        let mut report: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
        assert!(report[n_bytes..].iter().all(|byte| *byte == 0));
        report.truncate(n_bytes);
        String::from_utf8(report).unwrap()
    }

    #[test]
    fn what_is_pushed_is_asked_and_what_is_pulled_is_the_report() {
        for question in [r#"{"evidence":"é"}"#, "{}", "", "[1,2,3]"] {
            assert_eq!(ask(question.as_bytes()), crate::report(question), "{question}");
        }
    }

    #[test]
    fn bytes_that_are_not_text_get_a_report_too() {
        assert_eq!(ask(&[0xff; 9]), crate::report(""));
    }

    #[test]
    fn nothing_traps_beyond_the_ends() {
        push(7, 99);
        assert_eq!((run() > 0, pull(u32::MAX)), (true, 0));
    }
}
