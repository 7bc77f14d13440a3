//! Property tests: what must hold for any bytes. The fuzzer runs the same bodies.

mod bodies;

use proptest::prelude::*;

/// Generates streams of pieces that are mostly meaningful, which random bytes rarely are.
fn request_streams() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..6).prop_map(|args| {
            let mut request = format!("*{}\r\n", args.len()).into_bytes();
            for arg in args {
                request.extend(format!("${}\r\n", arg.len()).bytes().chain(arg).chain(*b"\r\n"));
            }
            request
        }),
        4 => "[a-c \t\"'\\\\x4n]{0,12}\r?\n".prop_map(String::into_bytes),
        1 => prop::sample::select(vec!["*-1\r\n", "*0\r\n", "*01\r\n", "$1\r\n", "*1\n", "*1\r\n\n", "*1\r\n$-1\r\n", "*30\r\n",
            "*1\r\n$200\r\n", "\r\n", "\0", "*3\rX"]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..100),
    ];
    (any::<[u8; 2]>(), prop::collection::vec(piece, 0..12))
        .prop_map(|(head, pieces)| [&head[..], &pieces.concat()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn requests_do_not_depend_on_how_they_arrive(data in request_streams()) {
        bodies::requests(&data);
    }

    #[test]
    fn replies_read_back(data in prop::collection::vec(any::<u8>(), 0..200)) {
        bodies::replies(&data);
    }

    #[test]
    fn buffers_do_what_vectors_with_a_maximum_do(data in prop::collection::vec(any::<u8>(), 0..100)) {
        bodies::buffers(&data);
    }
}
