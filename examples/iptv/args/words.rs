//! Single words of a command line, and what is wrong with them.

use super::{ModeName, ProfileName, Result, UsageError};
use lexopt::{Parser, ValueExt};
use p2piptv::ids::ChannelName;
use std::ffi::OsString;
use std::net::SocketAddr;

pub(super) const NO_BOOTSTRAP: &str = "--bootstrap is missing: give the address that a bootstrap node printed, as in --bootstrap 127.0.0.1:6084, or the overlay's document with --config";

pub(super) const NO_CHANNEL: &str = "--channel is missing: give the channel's name, as in --channel 100";

pub(super) const NO_OWNER: &str = "--tree-first needs --owner FINGERPRINT: in a channel's tree anybody can stand, and only the owner's word tells who belongs there";

pub(super) fn needed<T>(value: Option<T>, otherwise: &str) -> Result<T> {
    value.ok_or_else(|| UsageError(otherwise.into()))
}

pub(super) fn text(parser: &mut Parser, option: &str) -> Result<String> {
    let value = parser.value()?;
    value.string().map_err(|_| UsageError(format!("{option}: the value is not readable text")))
}

pub(super) fn number<N: TryFrom<u64>>(parser: &mut Parser, option: &str, least: u64, most: u64) -> Result<N> {
    let word = text(parser, option)?;
    let in_range = word.parse().ok().filter(|n| (least..=most).contains(n));
    in_range
        .and_then(|n| N::try_from(n).ok())
        .ok_or_else(|| UsageError(format!("{option}: {word:?} is no number from {least} to {most}")))
}

pub(super) fn profile(parser: &mut Parser) -> Result<ProfileName> {
    match text(parser, "--profile")?.as_str() {
        "default" => Ok(ProfileName::Default),
        "paper" => Ok(ProfileName::Paper),
        other => Err(UsageError(format!("--profile: there is no {other:?}; there are default and paper"))),
    }
}

pub(super) fn mode(parser: &mut Parser) -> Result<ModeName> {
    match text(parser, "--mode")?.as_str() {
        "managed" => Ok(ModeName::Managed),
        "delegated" => Ok(ModeName::Delegated),
        other => Err(UsageError(format!("--mode: there is no {other:?}; there are managed and delegated"))),
    }
}

pub(super) fn channel_name(parser: &mut Parser, option: &str) -> Result<ChannelName> {
    channel_from(&parser.value()?, option)
}

pub(super) fn channel_from(word: &OsString, option: &str) -> Result<ChannelName> {
    let word = word.to_string_lossy();
    ChannelName::new(&word).ok_or_else(|| {
        let most = ChannelName::MAX_LEN;
        UsageError(format!("{option}: {word:?} is no name; use 1 to {most} letters, digits and -_.!~*'&=+$"))
    })
}

/// Somebody else's address.
pub(super) fn address(parser: &mut Parser, option: &str) -> Result<SocketAddr> {
    address_from(&text(parser, option)?, option)
}

pub(super) fn address_from(word: &str, option: &str) -> Result<SocketAddr> {
    let wrong = |advice: &str| UsageError(format!("{option}: {word:?} is no address; {advice}"));
    let address: SocketAddr = match word.parse() {
        Ok(address) => address,
        Err(_) if word.parse::<std::net::IpAddr>().is_ok() => {
            return Err(wrong("the port is missing, as in 192.0.2.7:6084 or [2001:db8::7]:6084"));
        }
        Err(_) => {
            return Err(wrong(
                "write IP:PORT, as in 192.0.2.7:6084 or [2001:db8::7]:6084 (names are not looked up)",
            ));
        }
    };
    match address.port() {
        0 => Err(wrong("nothing can be sent to port 0")),
        _ => Ok(address),
    }
}
