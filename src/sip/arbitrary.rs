//! Generators of messages and bodies for fuzzing and property tests. What they make is legal: it prints, and reads back.

use super::body::{
    Child, Elector, IptvBody, IptvInfo, MAX_BACKUPS, MAX_OPEN, Position, Report, Slot, Subtree,
};
use super::msg::{Host, Method, Name, NameAddr, RequestBuilder, SipUri, Status, Transport, Via};
use super::sdp::{Direction, Local, SessionDescription};
use crate::ids::{ChannelName, NodeId};
use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use arbitrary::{Arbitrary, Error, Result, Unstructured};
use bytes::Bytes;
use core::net::{IpAddr, SocketAddr};

/// One to twelve characters of an alphabet.
fn word(u: &mut Unstructured<'_>, alphabet: &[u8]) -> Result<String> {
    let n = u.int_in_range(1..=12)?;
    (0..n).map(|_| Ok(char::from(*u.choose(alphabet)?))).collect()
}

fn token(u: &mut Unstructured<'_>) -> Result<String> {
    word(u, b"abcXYZ0189-.!%*_+`'~")
}

/// Text without control characters.
fn text(u: &mut Unstructured<'_>) -> Result<String> {
    let text: String = u.arbitrary::<&str>()?.chars().filter(|c| !c.is_control()).take(24).collect();
    Ok(text.trim().to_string())
}

fn address(u: &mut Unstructured<'_>) -> Result<SocketAddr> {
    Ok(SocketAddr::new(u.arbitrary::<IpAddr>()?, u.arbitrary()?))
}

fn node_id(u: &mut Unstructured<'_>) -> Result<NodeId> {
    u.arbitrary().map(NodeId)
}

/// Zero to three of something.
fn few<T>(u: &mut Unstructured<'_>, make: impl Fn(&mut Unstructured<'_>) -> Result<T>) -> Result<Vec<T>> {
    let n = u.int_in_range(0..=3)?;
    (0..n).map(|_| make(u)).collect()
}

impl<'a> Arbitrary<'a> for Method {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        match u.int_in_range(0..=3)? {
            0 => Method::new(&token(u)?).ok_or(Error::IncorrectFormat),
            _ => Ok(u.choose(&[Method::INVITE, Method::INFO, Method::BYE, Method::OPTIONS])?.clone()),
        }
    }
}

impl<'a> Arbitrary<'a> for Status {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Status::new(u.int_in_range(100..=699)?).ok_or(Error::IncorrectFormat)
    }
}

impl<'a> Arbitrary<'a> for Host<'static> {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        match u.arbitrary()? {
            true => Ok(Host::Ip(u.arbitrary()?)),
            false => Ok(Host::Name(Cow::Owned(word(u, b"abz-")? + ".example.com"))),
        }
    }
}

impl<'a> Arbitrary<'a> for SipUri<'static> {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let mut uri = SipUri::of_host(u.arbitrary()?).with_port(u.arbitrary()?);
        if u.arbitrary()? {
            uri = uri.with_user(u.arbitrary()?);
        }
        for _ in 0..u.int_in_range(0..=2)? {
            let value = u.arbitrary::<bool>()?.then(|| word(u, b"ab:+.-[]")).transpose()?;
            uri =
                uri.with_param(&word(u, b"abcXYZ")?, value.as_deref()).map_err(|_| Error::IncorrectFormat)?;
        }
        Ok(uri)
    }
}

impl<'a> Arbitrary<'a> for NameAddr<'static> {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let mut address = NameAddr::new(u.arbitrary::<SipUri<'static>>()?);
        if u.arbitrary()? {
            address = address.with_display_name(&text(u)?).map_err(|_| Error::IncorrectFormat)?;
        }
        if u.arbitrary()? {
            address = address.with_tag(&token(u)?).map_err(|_| Error::IncorrectFormat)?;
        }
        if u.arbitrary()? {
            address = address.with_node_id(node_id(u)?).with_slots(u.arbitrary()?).with_depth(u.arbitrary()?);
        }
        if u.arbitrary()? {
            address = address.with_resume(u.arbitrary()?);
        }
        if u.arbitrary()? {
            address = address.with_standby();
        }
        Ok(if u.arbitrary()? { address.with_rescue_slot() } else { address })
    }
}

impl<'a> Arbitrary<'a> for Via<'static> {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let transport = u.choose(&[Transport::UDP, Transport::TCP, Transport::TLS])?.clone();
        let branch = Via::MAGIC_COOKIE.to_string() + &token(u)?;
        let mut via = Via::new(transport, address(u)?, &branch).map_err(|_| Error::IncorrectFormat)?;
        if u.arbitrary()? {
            via.note_source(address(u)?).map_err(|_| Error::IncorrectFormat)?;
        }
        Ok(via)
    }
}

impl<'a> Arbitrary<'a> for RequestBuilder {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let mut request = RequestBuilder::new(u.arbitrary()?, &u.arbitrary()?)
            .via(&u.arbitrary()?)
            .from(&u.arbitrary()?)
            .to(&u.arbitrary()?)
            .call_id(&token(u)?)
            .cseq(u.arbitrary()?)
            .max_forwards(u.arbitrary()?);
        for contact in few(u, |u| u.arbitrary::<NameAddr<'static>>())? {
            request = request.contact(&contact);
        }
        for route in few(u, |u| u.arbitrary::<NameAddr<'static>>())? {
            request = request.route(&route);
        }
        for (name, value) in few(u, |u| Ok(("X-".to_string() + &token(u)?, text(u)?)))? {
            request = request.header(Name::new(&name), value);
        }
        Ok(if u.arbitrary()? { request.body("text/plain", u.arbitrary()?) } else { request })
    }
}

impl<'a> Arbitrary<'a> for IptvBody {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let channel = match u.arbitrary()? {
            true => Some(ChannelName::new(&word(u, b"019abz-_.")?).ok_or(Error::IncorrectFormat)?),
            false => None,
        };
        let info = match u.int_in_range(0..=13)? {
            0 => IptvInfo::SelectedRelayer {
                register: u.arbitrary()?,
                grant: u.arbitrary::<Option<Vec<u8>>>()?.map(Bytes::from),
            },
            1 => IptvInfo::RelayerAccepted { free_slots: u.arbitrary()? },
            2 => IptvInfo::RelayerDeclined { reason: u.arbitrary::<bool>()?.then(|| token(u)).transpose()? },
            3 => IptvInfo::FullCapacity(u.arbitrary()?),
            4 => IptvInfo::ChildUpdate(u.arbitrary()?),
            5 => IptvInfo::Alive,
            6 => IptvInfo::TreePosition(u.arbitrary()?),
            7 => IptvInfo::EndOfChannel { proof: u.arbitrary::<Option<Vec<u8>>>()?.map(Bytes::from) },
            8 => IptvInfo::Leaving,
            9 => IptvInfo::Grant {
                grant: u.arbitrary::<Vec<u8>>()?.into(),
                node: u.arbitrary::<bool>()?.then(|| node_id(u)).transpose()?,
            },
            10 => IptvInfo::Subtree(u.arbitrary()?),
            11 => IptvInfo::Yield { to: backups(u)? },
            12 => IptvInfo::Climb { to: backups(u)? },
            _ => IptvInfo::Other("New ".to_string() + &token(u)?),
        };
        Ok(IptvBody { channel, info })
    }
}

impl<'a> Arbitrary<'a> for Report {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let with_contacts = u.arbitrary()?;
        let child = |u: &mut Unstructured<'_>| {
            let contact = if with_contacts { Some(u.arbitrary()?) } else { None };
            Ok(Child { name: token(u)?, contact })
        };
        Ok(Report { children: few(u, child)?, free_slots: u.arbitrary()? })
    }
}

impl<'a> Arbitrary<'a> for Position {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let backups = backups(u)?;
        let slot = if u.arbitrary()? { Slot::Rescue } else { Slot::Ordinary };
        let elector = if u.arbitrary()? { Elector::Parent } else { Elector::Source };
        Ok(Position { depth: u.arbitrary()?, path: few(u, node_id)?, slot, backups, elector })
    }
}

fn backups(u: &mut Unstructured<'_>) -> Result<Vec<NameAddr<'static>>> {
    let mut backups = few(u, |u| u.arbitrary::<NameAddr<'static>>())?;
    backups.truncate(MAX_BACKUPS);
    Ok(backups)
}

impl<'a> Arbitrary<'a> for Subtree {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let mut open = few(u, |u| u.arbitrary::<NameAddr<'static>>())?;
        open.truncate(MAX_OPEN);
        Ok(Subtree { peers: u.arbitrary()?, free: u.arbitrary()?, open })
    }
}

impl<'a> Arbitrary<'a> for SessionDescription {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let direction = [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];
        let cname = word(u, b"019abz-_.")?;
        let ssrc = u.arbitrary::<Option<u32>>()?.map(|ssrc| (ssrc, &cname[..]));
        let direction = *u.choose(&direction)?;
        let key = u.arbitrary::<Option<[u8; 30]>>()?;
        let key = key.as_ref();
        let local = Local { session: u.arbitrary()?, address: address(u)?, direction, ssrc, key };
        Ok(SessionDescription::offer(&local))
    }
}
