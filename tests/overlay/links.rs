//! Secured links: what their rules look like from outside, on one overlay and on many.

use super::network::{Net, address, ring_over, seconds};
use p2piptv::reload::overlay::{Fact, LinkSecurity};
use p2piptv::stats::DropReason;
use p2piptv::time::Duration;

const SECURED: [LinkSecurity; 2] = [LinkSecurity::Tls, LinkSecurity::Dtls];

#[test]
fn lt3_lt2_rings_form_over_tls_and_over_dtls_and_nobody_drops_anything() {
    for security in SECURED {
        for n in [1, 2, 3, 8] {
            let net = ring_over(security, n, 77 + n as u64);
            net.assert_ring();
            for node in &net.nodes {
                let strange = |r: &&DropReason| {
                    !matches!(
                        r,
                        DropReason::NoRoute | DropReason::NotConnected | DropReason::UnknownTransaction
                    )
                };
                let strange: Vec<_> = node.drops.keys().filter(strange).collect();
                assert_eq!(strange, Vec::<&DropReason>::new(), "{security:?} {n}");
            }
        }
    }
}
