//! RELOAD's binary formats: hand-made vectors both ways, the rules of RFC 6940, laws over arbitrary messages.

mod laws;
mod rules;
mod vectors;

use bytes::Bytes;
use core::fmt::Debug;
use p2piptv::ids::bytes_from_hex;
use p2piptv::reload::codec::Structure;

fn hex(text: &str) -> Bytes {
    bytes_from_hex(text).unwrap().into()
}

/// The bytes are the value and the value is the bytes; nothing shorter and nothing longer is accepted.
#[track_caller]
fn both_ways<T: Structure + Debug + PartialEq>(bytes: &Bytes, value: &T) {
    assert_eq!(T::decode(bytes).as_ref(), Ok(value));
    assert_eq!(value.encode().as_ref(), Ok(bytes));
    for n in 0..bytes.len() {
        assert!(T::decode(&bytes.slice(..n)).is_err(), "{n} bytes are enough");
    }
    assert!(T::decode(&[bytes.as_ref(), &[0]].concat().into()).is_err(), "a byte too many is accepted");
}
