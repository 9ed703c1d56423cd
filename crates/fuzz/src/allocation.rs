//! How much memory reading takes, at its worst moment.

use allocation_counter::measure;

/// Tables, error texts and the like, whatever the size of the input.
const SLACK_BYTES: u64 = 64 << 10;

/// What `read` gives, if it never held more than `times` the bytes of its input beside a constant.
///
/// # Panics
/// When it held more.
pub fn within<T>(times: u64, input: &[u8], read: impl FnOnce() -> T) -> T {
    let mut value = None;
    let taken = measure(|| value = Some(read())).bytes_max;
    let allowed = times * input.len() as u64 + SLACK_BYTES;
    assert!(taken <= allowed, "{taken} bytes to read {}: more than {times} times as many", input.len());
    value.expect("the reader ran")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_counted_and_what_was_freed_is_not() {
        let input = [0; 100_000];
        assert_eq!(within(1, &input, || vec![1_u8; 50_000].len()), 50_000);
        // Ten copies, one after the other.
        within(1, &input, || (0..10).map(|_| input.to_vec().len()).sum::<usize>());
    }

    #[test]
    #[should_panic(expected = "more than 2 times as many")]
    fn too_much_is_found() {
        let input = [0; 100_000];
        within(2, &input, || vec![1_u8; 300_000]);
    }
}
